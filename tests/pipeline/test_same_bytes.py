"""The same source and options give the same files, whoever packs, how often, and in whatever order it is found."""

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from packer.dataset.manifest import decode_manifest
from packer.engines.local_engine import LocalEngine
from packer.pipeline import pack
from packer.specs import FormatName
from tests.tools.datasets import (
    FORMATS,
    SerialEngine,
    digests,
    image_bytes,
    list_keys,
    make_options,
    pack_small,
    read_manifest,
    read_records,
    run_command,
    write_listing,
)

GOLDEN_KEYS = ["k0/4.ppm", "k1/5.ppm", "k0/6.ppm", "k0/2.ppm", "k0/0.ppm", "k1/1.ppm", "k1/3.ppm", "k1/7.ppm"]
GOLDEN_MANIFEST = "ac84b8168d561c0381e3963315115c9f7745a1ae1c8d13f5adf9aa10b5e682ef"

SPLITS = {"split": "train=0.8,val=0.2", "stratify": True, "allow_fill": True}


@pytest.fixture(scope="module")
def two_workers() -> Iterator[LocalEngine]:
    with LocalEngine(2) as engine:
        yield engine


@pytest.fixture(scope="module", params=FORMATS)
def reference(request: pytest.FixtureRequest, images: Path, tmp_path_factory: pytest.TempPathFactory):
    """The digests of a data set, and the format it is in."""
    dest = tmp_path_factory.mktemp("reference") / "out"
    pack_small(images, dest, format=request.param, **SPLITS)
    found = digests(dest)
    assert len(found) > 20
    assert "manifest.json" in found
    return request.param, found


def test_two_workers(reference, images: Path, tmp_path: Path, two_workers: LocalEngine) -> None:
    format_name, expected = reference
    pack(make_options(images, tmp_path / "out", format=format_name, **SPLITS), engine=two_workers)
    assert digests(tmp_path / "out") == expected


def test_tasks_in_another_order(reference, images: Path, tmp_path: Path) -> None:
    format_name, expected = reference
    engine = SerialEngine(lambda tasks: random.Random(3).sample(list(tasks), len(tasks)))
    pack(make_options(images, tmp_path / "out", format=format_name, **SPLITS), engine=engine)
    assert digests(tmp_path / "out") == expected


@pytest.mark.slow
def test_one_worker_from_the_command_line(reference, images: Path, tmp_path: Path) -> None:
    format_name, expected = reference
    done = run_command(
        "pack", images, tmp_path / "out", "--gpus", 4, "--resize", 24, "--format", format_name, "--workers", 1,
        "--split", "train=0.8,val=0.2", "--stratify", "--allow-fill",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert digests(tmp_path / "out") == expected


def test_packed_again_over_itself(reference, images: Path, tmp_path: Path) -> None:
    format_name, expected = reference
    for overwrite in (False, True):
        pack_small(images, tmp_path / "out", format=format_name, overwrite=overwrite, **SPLITS)
    assert digests(tmp_path / "out") == expected


def test_another_name_of_the_source_and_the_destination(reference, images: Path, tmp_path: Path) -> None:
    """The claim tells where the source is; nothing else depends on where anything lies."""
    format_name, expected = reference
    (tmp_path / "elsewhere").symlink_to(images)
    pack_small(tmp_path / "elsewhere", tmp_path / "other", format=format_name, **SPLITS)
    found = digests(tmp_path / "other")
    assert found.pop("meta/plan.json") != expected["meta/plan.json"]
    assert found == {key: value for key, value in expected.items() if key != "meta/plan.json"}


@pytest.mark.parametrize("format_name", FORMATS)
def test_rows_of_a_listing_in_any_order(format_name: FormatName, images: Path, tmp_path: Path) -> None:
    orders = {
        "sorted": list,
        "reversed": lambda rows: rows[::-1],
        "shuffled": lambda rows: random.Random(1).sample(rows, len(rows)),
    }
    found = []
    for name, order in orders.items():
        listing = write_listing(tmp_path / "list.csv", images, order=order)
        dest = tmp_path / name
        pack_small(listing, dest, root=str(images), format=format_name, **SPLITS)
        found.append(digests(dest))
    assert found[0] == found[1] == found[2]


def test_a_listing_packs_as_its_folder_does(images: Path, tmp_path: Path) -> None:
    """Only the names of the classes are known from folders alone; the records are the same."""
    listing = write_listing(tmp_path / "list.csv", images)
    pack_small(images, tmp_path / "a", format="recordio", **SPLITS)
    pack_small(listing, tmp_path / "b", format="recordio", root=str(images), **SPLITS)
    first, second = read_manifest(tmp_path / "a"), read_manifest(tmp_path / "b")
    assert first.splits == second.splits
    assert first.pixels == second.pixels


def test_a_seed_changes_the_order_and_nothing_else(images: Path, tmp_path: Path) -> None:
    first = pack_small(images, tmp_path / "a").manifest
    second = pack_small(images, tmp_path / "b", seed=1).manifest
    assert [s.sha256 for s in first.splits["train"].shards] != [s.sha256 for s in second.splits["train"].shards]
    assert first.splits["train"].num_records == second.splits["train"].num_records
    assert first.pixels == second.pixels


def test_nothing_but_the_layout_is_left(images: Path, tmp_path: Path) -> None:
    pack_small(images, tmp_path / "out", format="recordio", split="train=0.8,val=0.2")
    plan_id = read_manifest(tmp_path / "out").plan_id[:16]
    stems = {split: [f"{split}-{n:05d}-of-00004" for n in range(4)] for split in ("train", "val")}
    expected = ["manifest.json", "meta/labels.json", "meta/plan.json", "meta/rejects.jsonl", "meta/run.json"]
    for split, names in stems.items():
        expected += [f"meta/index/{split}.idx", f"meta/plan/{plan_id}-{split}-00000.parquet"]
        for stem in names:
            expected += [f"{split}/{stem}.rec", f"meta/records/{split}/{stem}.parquet"]
            expected += [f"meta/index/{split}/{stem}.idx", f"meta/index/{split}/{stem}.lst"]
    assert list_keys(tmp_path / "out") == sorted(expected)


def test_the_manifest_of_a_small_data_set(tmp_path: Path) -> None:
    """Digests that no library's version can change are as they were when this was written.

    The images are one grey each and of the size asked for, so every codec gives the same pixels; sizes and digests of
    encoded bytes, which depend on the encoder, are blanked.
    """
    for index in range(8):
        path = tmp_path / "source" / f"k{index % 2}" / f"{index}.ppm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"P6 16 16 255\n" + bytes([30 * index] * 16 * 16 * 3))
    pack_small(tmp_path / "source", tmp_path / "out", gpus=2, resize="16x16", split="train=0.75,val=0.25")
    document = json.loads((tmp_path / "out/manifest.json").read_bytes())
    for name in ("plan_id", "encoder_sha256", "digest"):
        document[name] = ""
    for split in document["splits"].values():
        for shard in split["shards"]:
            shard |= dict.fromkeys(("num_bytes", "sha256", "index_sha256", "records_sha256"), 0)
    keys = [
        row["key"]
        for shard in ("train-00000-of-00002", "train-00001-of-00002", "val-00000-of-00002", "val-00001-of-00002")
        for row in read_records(tmp_path / "out", f"{shard.partition('-')[0]}/{shard}.tfrecord")
    ]
    assert keys == GOLDEN_KEYS
    golden = json.dumps(document, sort_keys=True).encode()
    assert hashlib.sha256(golden).hexdigest() == GOLDEN_MANIFEST, golden.decode()


def test_the_digest_of_a_manifest_covers_all_of_it(images: Path, tmp_path: Path) -> None:
    pack_small(images, tmp_path / "out")
    data = (tmp_path / "out/manifest.json").read_bytes()
    assert decode_manifest(data, name="m").digest.encode() in data
    assert hashlib.sha256(data.replace(decode_manifest(data, name="m").digest.encode(), b"")).hexdigest() in str(data)


def test_an_image_that_is_replaced_by_another_of_its_size_changes_one_shard(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for index in range(8):
        (source / "c").mkdir(parents=True, exist_ok=True)
        (source / "c" / f"{index}.bmp").write_bytes(image_bytes(index, kind="BMP"))
    first = pack_small(source, tmp_path / "a").manifest.splits["train"].shards
    (source / "c/3.bmp").write_bytes(image_bytes(99, kind="BMP"))
    second = pack_small(source, tmp_path / "b").manifest.splits["train"].shards
    assert sum(a.sha256 != b.sha256 for a, b in zip(first, second, strict=True)) == 1
