"""Verification finds every change of a data set, and says where it is."""

import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from packer.cli.main import run
from packer.dataset.shardcheck import locate_shard
from packer.errors import DataSetError, NotADataSetError
from packer.progress import SilentProgress
from packer.reading.dataset import open_dataset
from packer.reading.read_spec import ReadSpec
from packer.reading.records import iter_samples
from packer.verifying import VerifyReport, verify
from tests.tools.datasets import FORMATS, SerialEngine, list_keys, pack_small, read_manifest, write_images

SPLITS = {"split": "train=0.75,val=0.25", "gpus": 2, "stratify": True, "allow_fill": True}


def check(dest: Path, *, decode: bool = False) -> VerifyReport:
    return verify(str(dest), SerialEngine(), SilentProgress(), decode=decode)


def faults(dest: Path, *, decode: bool = False) -> str:
    """Return all that is found, one fault a line; there must be something."""
    found = check(dest, decode=decode).faults
    assert found
    assert all("\n" not in fault for fault in found)
    return "\n".join(found)


@pytest.fixture(scope="module", params=FORMATS)
def packed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with fills, rejects and copies in it; read it, never write to it."""
    folder = tmp_path_factory.mktemp("packed")
    source = write_images(folder / "source", 26)
    shutil.copy(source / "c0/0000.jpg", source / "c0/copy.jpg")
    (source / "c1/broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    pack_small(source, folder / "out", format=request.param, max_rejects=0.1, **SPLITS)
    manifest = read_manifest(folder / "out")
    assert manifest.num_duplicates == 1
    assert sum(split.num_fills for split in manifest.splits.values()) > 0
    assert sum(manifest.rejects.values()) == 1
    return folder / "out"


@pytest.fixture
def dest(packed: Path, tmp_path: Path) -> Path:
    """A copy of it to harm."""
    return Path(shutil.copytree(packed, tmp_path / "out"))


def shard(dest: Path, index: int = 0, split: str = "train") -> Path:
    return sorted((dest / split).iterdir())[index]


@pytest.mark.parametrize("decode", [False, True])
def test_nothing_is_wrong(packed: Path, decode: bool) -> None:
    report = check(packed, decode=decode)
    manifest = read_manifest(packed)
    assert report.faults == ()
    assert report.num_shards == 4
    assert report.num_records == sum(split.num_records for split in manifest.splits.values())
    assert report.num_bytes == sum(path.stat().st_size for path in packed.glob("*/*-of-*"))


def flip(path: Path, chance: random.Random) -> tuple[int, int]:
    """Flip one bit; return where."""
    content = bytearray(path.read_bytes())
    byte, bit = chance.randrange(len(content)), chance.randrange(8)
    content[byte] ^= 1 << bit
    path.write_bytes(content)
    return byte, bit


CHECKED = {
    "shards": ("train/*", 100),
    "evaluation shards": ("val/*", 30),
    "indexes": ("meta/index/*/*.idx", 30),
    "lists": ("meta/index/*/*.lst", 30),
    "merged indexes": ("meta/index/*.idx", 20),
    "tables of records": ("meta/records/*/*.parquet", 150),
    "labels": ("meta/labels.json", 20),
}


@pytest.mark.slow
@pytest.mark.parametrize(("pattern", "trials"), CHECKED.values(), ids=CHECKED.keys())
def test_each_single_flipped_bit(dest: Path, pattern: str, trials: int) -> None:
    paths = sorted(dest.glob(pattern))
    if not paths:
        assert read_manifest(dest).format != "recordio"  # which alone has lists and merged indexes
    chance = random.Random(pattern)
    for _ in range(trials if paths else 0):
        path = chance.choice(paths)
        content = path.read_bytes()
        place = flip(path, chance)
        found = check(dest).faults
        if not found:  # the one number that no digest covers: the version of Arrow that wrote a table
            assert content[place[0] - 50 : place[0] + 1].find(b"parquet-cpp-arrow version") >= 0, (path, place)
        else:
            assert path.stem.split(".")[0] in "\n".join(found), (path, place, found)
        path.write_bytes(content)


def test_a_flipped_bit_of_a_tfrecord_is_found_in_its_record(dest: Path) -> None:
    if read_manifest(dest).format != "tfrecord":
        assert "expected sha256" in faults_after_flip_in_record(dest, 3)  # RecordIO has no checksums of its own
        return
    found = faults_after_flip_in_record(dest, 3)
    sizes = pq.read_table(dest / f"meta/records/train/{shard(dest).stem}.parquet").column("num_bytes").to_pylist()
    assert f"train/{shard(dest).name}: record 3 at byte {sum(sizes[:3]):,}: " in found
    assert "crc32c" in found


def faults_after_flip_in_record(dest: Path, record: int) -> str:
    path = shard(dest)
    sizes = pq.read_table(dest / f"meta/records/train/{path.stem}.parquet").column("num_bytes").to_pylist()
    content = bytearray(path.read_bytes())
    content[sum(sizes[:record]) + sizes[record] // 2] ^= 4
    path.write_bytes(content)
    return faults(dest)


@pytest.mark.slow
def test_each_flipped_bit_of_the_manifest(dest: Path) -> None:
    path = dest / "manifest.json"
    content = path.read_bytes()
    chance = random.Random(8)
    for _ in range(400):
        flip(path, chance)
        with pytest.raises(DataSetError, match=r"manifest\.json: "):
            check(dest)
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"world": 2', b'"world":  2'),
        (b'"world": 2', b'"world": 4, "world": 2'),
        (b'"world": 2', b'"world": 2e0'),
        (b'"world": 2', b'"world": 36893488147419103232'),
        (b'"world": 2', b'"world": 2, "owner": "me"'),
        (b'"seed": 0', b'"seed": -0'),
        (b'"width": 24', b'"width": 24, "depth": 3'),
        (b"}\n", b"}"),
        (b"}\n", b"}\n\n"),
    ],
)
def test_a_manifest_is_its_bytes(dest: Path, old: bytes, new: bytes) -> None:
    path = dest / "manifest.json"
    content = path.read_bytes()
    at = content.rindex(old)
    path.write_bytes(content[:at] + new + content[at + len(old) :])
    with pytest.raises(DataSetError, match=r"manifest\.json: "):
        check(dest)


def edit_manifest(dest: Path, edit: Callable[[dict], object]) -> None:
    """Change the manifest and sign it anew, as one who knows how would."""
    path = dest / "manifest.json"
    document = json.loads(path.read_bytes())
    edit(document)
    unsigned = rendered({**document, "digest": ""})
    path.write_bytes(rendered({**document, "digest": hashlib.sha256(unsigned).hexdigest()}))


def rendered(document: dict) -> bytes:
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def first_shard(document: dict) -> dict:
    return document["splits"]["val"]["shards"][0]


def add(document: dict, name: str, count: int) -> None:
    first_shard(document)[name] += count
    if name in document["splits"]["val"]:
        document["splits"]["val"][name] += count


EDITS = {
    "records": (lambda d: add(d, "num_records", 1), "val-00000-of-00002"),
    "fills": (lambda d: add(d, "num_fills", 1), "val-00000-of-00002"),
    "bytes": (lambda d: add(d, "num_bytes", 1), "val-00000-of-00002"),
    "labels": (
        lambda d: d["splits"]["val"]["label_counts"].update({"0": 99}),
        "val.label_counts has 99 items of class 0",
    ),
    "no labels": (lambda d: d["splits"]["val"]["label_counts"].clear(), "val.label_counts has 0 items of class 0"),
    "rejects": (lambda d: d["rejects"].update(missing=5), "meta/rejects.jsonl: has rejects by reason"),
    "copies": (lambda d: d.update(num_duplicates=7), "num_duplicates is 7, the tables of records have 1"),
    "world": (lambda d: d.update(world=1), "world is 1, the plan says 2"),
    "seed": (lambda d: d.update(seed=5), "seed is 5, the plan says 0"),
    "image": (lambda d: d["image"].update(quality=10), "image is"),
    "plan": (lambda d: d.update(plan_id="0" * 64), "meta/plan.json: expected plan 0000"),
    "a split": (lambda d: d["splits"].pop("val"), "has shards by split {'train': 2}, the plan says"),
    "digest": (lambda d: first_shard(d).update(sha256="0" * 64), "val-00000-of-00002"),
    "index": (lambda d: first_shard(d).update(index_sha256="0" * 64), "val-00000-of-00002"),
    "table": (lambda d: first_shard(d).update(records_sha256="0" * 64), "val-00000-of-00002"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("edit", "expected"), EDITS.values(), ids=EDITS.keys())
def test_an_edited_and_newly_signed_manifest_is_held_against_the_shards(
    dest: Path, edit: Callable[[dict], object], expected: str
) -> None:
    edit_manifest(dest, lambda document: None)
    assert check(dest).faults == (), "expected this test to sign as the program does"
    edit_manifest(dest, edit)
    assert expected in faults(dest)


def test_an_edited_manifest_that_contradicts_itself(dest: Path) -> None:
    edit_manifest(dest, lambda document: document["splits"]["train"].update(num_records=5))
    with pytest.raises(DataSetError, match=r"train.num_records is 5, its shards sum to"):
        check(dest)


def test_a_missing_shard(dest: Path) -> None:
    name = shard(dest).name
    shard(dest).unlink()
    assert f"train/{name}: is missing" in faults(dest)


@pytest.mark.parametrize("kept", [0.0, 0.4, 0.999])
def test_a_truncated_shard(dest: Path, kept: float) -> None:
    path = shard(dest)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    found = faults(dest)
    assert f"train/{path.name}: expected {len(content):,} bytes, found {int(kept * len(content)):,}" in found
    assert "record" in found


def test_a_shard_that_goes_on_after_its_end(dest: Path) -> None:
    path = shard(dest)
    path.write_bytes(path.read_bytes() + b"\0" * 8)
    assert f"train/{path.name}: record " in faults(dest)


def test_a_record_less_and_a_record_twice(dest: Path) -> None:
    path = shard(dest)
    size = pq.read_table(dest / f"meta/records/train/{path.stem}.parquet").column("num_bytes")[0].as_py()
    content = path.read_bytes()
    num_records = read_manifest(dest).splits["train"].shards[0].num_records
    if read_manifest(dest).format == "parquet":
        rows = pq.read_table(path)
        for other, count in ((rows.slice(1), num_records - 1), (pa.concat_tables([rows, rows]), 2 * num_records)):
            pq.write_table(other, path, compression="none", use_dictionary=False)
            assert f"expected {num_records} records, found {count}" in faults(dest)
        return
    path.write_bytes(content[size:])
    assert f"expected {num_records} records, found {num_records - 1}" in faults(dest)
    path.write_bytes(content[:size] + content)
    found = f"expected {num_records} records, found {num_records + 1}"
    is_tar = read_manifest(dest).format == "webdataset"  # in which both would be one sample
    assert ("expected each member once, got train-00000-000000.cls a second time" if is_tar else found) in faults(dest)


def test_records_in_another_order(dest: Path) -> None:
    path = shard(dest)
    sizes = pq.read_table(dest / f"meta/records/train/{path.stem}.parquet").column("num_bytes").to_pylist()
    content = path.read_bytes()
    first, second = sizes[0], sizes[0] + sizes[1]
    path.write_bytes(content[first:second] + content[:first] + content[second:])
    assert f"train/{path.name}: expected sha256" in faults(dest)
    if read_manifest(dest).format == "tfrecord":
        assert f"train/{path.name}: record 0 at byte 0: expected " in faults(dest)


def test_swapped_shards(dest: Path) -> None:
    first, second = shard(dest, 0), shard(dest, 1)
    contents = first.read_bytes(), second.read_bytes()
    first.write_bytes(contents[1])
    second.write_bytes(contents[0])
    found = faults(dest)
    assert f"train/{first.name}: its content is that of train/{second.name}" in found
    assert f"train/{second.name}: its content is that of train/{first.name}" in found


def test_a_shard_of_other_records_with_all_that_belongs_to_it(dest: Path, tmp_path: Path) -> None:
    """Everything of the shard is replaced and fits together; only the manifest knows better."""
    source = write_images(tmp_path / "other", 40)
    pack_small(source, tmp_path / "others", format=read_manifest(dest).format, **SPLITS)
    name = shard(dest).name
    for path in (tmp_path / "others").rglob(f"{Path(name).stem}*"):
        shutil.copy(path, dest / path.relative_to(tmp_path / "others"))
    found = faults(dest)
    assert f"train/{name}: its table meta/records/train/{Path(name).stem}.parquet is not the one that was" in found
    assert f"train/{name}: expected sha256" in found


@pytest.mark.parametrize("name", ["train/extra.tfrecord", "train/train-00000-of-00002.bak", "val/.hidden"])
def test_files_too_many(dest: Path, name: str) -> None:
    (dest / name).write_bytes(b"x")
    assert f"{name}: is not in the manifest; readers of the whole prefix would read it too" in faults(dest)


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["meta/plan.json", "meta/labels.json", "meta/rejects.jsonl", "meta/index/*/*.idx",
                                     "meta/index/*/*.lst", "meta/index/*.idx", "meta/records/*/*.parquet"])  # fmt: skip
@pytest.mark.parametrize("damage", ["deleted", "emptied", "a folder"])
def test_documents_beside_the_shards(dest: Path, pattern: str, damage: str) -> None:
    for path in sorted(dest.glob(pattern))[:1]:
        path.unlink()
        if damage == "emptied":
            path.write_bytes(b"")
        elif damage == "a folder":
            path.mkdir()
        assert path.name.split(".")[0] in faults(dest)


def test_a_shard_that_is_a_folder(dest: Path) -> None:
    path = shard(dest)
    path.unlink()
    path.mkdir()
    assert f"train/{path.name}: cannot be read: Is a directory" in faults(dest)


@pytest.mark.parametrize("column", ["key", "label", "source_sha256", "is_fill", "num_bytes"])
def test_a_table_that_was_rewritten_with_another_value(dest: Path, column: str) -> None:
    path = dest / f"meta/records/train/{shard(dest, 1).stem}.parquet"  # the one with a fill, at its end
    table = pq.read_table(path)
    position = table.column_names.index(column)
    reversed_column = table.column(column).take(pa.array(range(table.num_rows - 1, -1, -1)))
    if pc.all(pc.equal(reversed_column, table.column(column))).as_py():
        assert (column, read_manifest(dest).format) == ("num_bytes", "webdataset")  # small records, all of one size
        return
    pq.write_table(table.set_column(position, table.schema.field(column), reversed_column), path, compression="zstd")
    assert "is not the one that was written with it" in faults(dest)


def test_decode_tells_of_an_image_that_does_not(tmp_path: Path, images: Path) -> None:
    """A record that is sound as a record, with an image that is not."""
    dest = tmp_path / "out"
    pack_small(images, dest, gpus=2)
    assert check(dest).faults == ()
    path = shard(dest)
    content = path.read_bytes()
    sizes = pq.read_table(dest / f"meta/records/train/{path.stem}.parquet").column("num_bytes").to_pylist()
    _rewrite_record(path, 2, sizes, content)
    found = faults(dest, decode=True)
    assert f"record 2 at byte {sum(sizes[:2]):,}: the image of " in found
    assert "does not decode: " in found
    assert "does not decode" not in faults(dest)


def _rewrite_record(path: Path, index: int, sizes: list[int], content: bytes) -> None:
    from packer.formats.tfrecord import CONTAINER as TFRECORD

    start = sum(sizes[:index])
    record = next(TFRECORD.iter_buffer(memoryview(content)[start : start + sizes[index]], name="r"))
    payload = bytes(cast("bytes", record.payload))
    image = payload.index(b"\xff\xd8\xff")
    payload = payload[: image + 3] + bytes(40) + payload[image + 43 :]
    framed = b"".join(TFRECORD.frame(payload))
    path.write_bytes(content[:start] + framed + content[start + sizes[index] :])


def test_what_is_no_data_set(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path, tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(NotADataSetError, match=r"expected a finished data set, found no manifest\.json"):
            check(place)


def test_verifying_writes_nothing(packed: Path) -> None:
    before = {key: (packed / key).stat().st_mtime_ns for key in list_keys(packed)}
    check(packed, decode=True)
    assert {key: (packed / key).stat().st_mtime_ns for key in list_keys(packed)} == before


@pytest.mark.slow
def test_on_the_command_line(dest: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", str(dest), "--json", "--workers", "1"]) == 0
    report = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert report["ok"]
    assert report["faults"] == []
    shard(dest).unlink()
    assert run(["verify", str(dest), "--json", "--workers", "1"]) == 1
    report = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert not report["ok"]
    assert "is missing" in report["faults"][0]
    assert run(["verify", str(dest), "--workers", "1"]) == 1
    assert "FAULT train/" in capfd.readouterr().out


def test_a_shard_that_is_a_named_pipe(dest: Path) -> None:
    """It is refused at once: nobody will ever write to it."""
    path = shard(dest)
    path.unlink()
    os.mkfifo(path)
    assert f"train/{path.name}: cannot be read: expected a file, found a pipe" in faults(dest)
    with pytest.raises(DataSetError, match="expected a file, found a pipe"):
        list(iter_samples(open_dataset(str(dest)), "train", ReadSpec(shuffle_records=0)))


class _Unwalkable(tuple):
    """Shards that can be asked for by number alone."""

    def __iter__(self):
        raise AssertionError("a task walked over all shards")


def test_a_task_finds_its_shard_without_walking_over_all() -> None:
    splits = {"train": range(10, 14), "val": range(0), "test": range(20, 23)}
    manifest: Any = SimpleNamespace(splits={name: SimpleNamespace(shards=_Unwalkable(v)) for name, v in splits.items()})
    expected = [(name, shard) for name, shards in splits.items() for shard in shards]
    assert [locate_shard(manifest, task) for task in range(7)] == expected
    with pytest.raises(IndexError):
        locate_shard(manifest, 7)
