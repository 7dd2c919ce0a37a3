"""A WebDataset as others read it: Python's tarfile, the webdataset package unmodified, and DALI by its index."""

import io
import json
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from packer.reading.dataset import open_dataset
from packer.reading.read_spec import ReadSpec
from packer.reading.records import iter_samples
from tests.tools.datasets import pack_small, read_manifest, read_records, write_images, write_listing


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of JPEGs with class ids, with fills in its training split."""
    folder = tmp_path_factory.mktemp("webdataset")
    images = write_images(folder / "images", 50)
    pack_small(images, folder / "packed", format="webdataset", gpus=2, split="train=0.7,val=0.3", allow_fill=True)
    assert read_manifest(folder / "packed").splits["train"].num_fills == 1
    return folder / "packed"


def shards(packed: Path) -> list[Path]:
    return [packed / shard.key for split in read_manifest(packed).splits.values() for shard in split.shards]


def rows(packed: Path) -> list[dict]:
    return [row for path in shards(packed) for row in read_records(packed, str(path.relative_to(packed)))]


def test_members_are_plain_and_named_by_split_shard_and_position(packed: Path) -> None:
    seen: set[str] = set()
    for path in shards(packed):
        data = path.read_bytes()
        assert data.endswith(bytes(1024))
        assert not data[:-1024].endswith(bytes(1024))
        with tarfile.open(path) as archive:
            members = archive.getmembers()
        split, number = path.name.split("-")[:2]
        positions = [f"{position:06d}" for position in range(len(members) // 3)]
        expected = [
            f"{split}-{number}-{position}.{suffix}" for position in positions for suffix in ("cls", "jpg", "json")
        ]
        assert [member.name for member in members] == expected
        assert {(member.mtime, member.uid, member.mode, member.type) for member in members} == {(0, 0, 0o644, b"0")}
        assert not seen & set(expected)
        seen |= set(expected)


def test_the_index_is_that_of_wds2idx(packed: Path) -> None:
    """What the tool writes: the version and number of samples, then extension, offset, size and name of each member."""
    for path in shards(packed):
        samples: dict[str, list[str]] = {}
        with tarfile.open(path) as archive:
            for member in archive:
                key, _, suffix = member.name.partition(".")
                samples.setdefault(key, []).append(f"{suffix} {member.offset_data} {member.size} {member.name}")
        lines = [f"v1.2 {len(samples)}", *(" ".join(parts) for parts in samples.values())]
        found = packed / "meta/index" / path.parent.name / f"{path.stem}.idx"
        assert found.read_text() == "\n".join(lines) + "\n"


def test_webdataset_reads_images_labels_and_fields(packed: Path) -> None:
    wds = pytest.importorskip("webdataset")
    dataset = wds.WebDataset([str(path) for path in shards(packed)], shardshuffle=False)
    raw, decoded = list(dataset), list(dataset.decode("pil"))
    expected = rows(packed)
    assert len(raw) == len(expected) == len({sample["__key__"] for sample in raw})
    for sample, fields, row in zip(raw, decoded, expected, strict=True):
        assert json.loads(sample["json"])["image/filename"] == fields["json"]["image/filename"] == row["key"]
        assert fields["cls"] == row["label"]
        assert fields["json"]["image/key/sha256"] == row["source_sha256"].hex()
        assert fields["jpg"].size == (fields["json"]["image/width"], fields["json"]["image/height"])
        assert Image.open(io.BytesIO(sample["jpg"])).format == "JPEG"


def test_releases_that_do_not_know_it_refuse_it_by_its_version(packed: Path) -> None:
    for name in ("manifest.json", "meta/plan.json"):
        assert json.loads((packed / name).read_bytes())["version"] == 2


def test_our_own_reader_gives_the_same(packed: Path) -> None:
    dataset = open_dataset(str(packed))
    for split in dataset.manifest.splits:
        ranks = [list(iter_samples(dataset, split, ReadSpec(rank=rank, world=2, shuffle_records=0))) for rank in (0, 1)]
        found = sorted((sample.key, sample.label, sample.source_sha256) for samples in ranks for sample in samples)
        keys = [shard.key for shard in dataset.manifest.splits[split].shards]
        expected = [row for key in keys for row in read_records(packed, key)]
        assert found == sorted((row["key"], row["label"], row["source_sha256"].hex()) for row in expected)


def test_vectors_and_columns_go_to_the_json(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", 12)
    listing = write_listing(tmp_path / "list.csv", images)
    header, *lines = listing.read_text().splitlines()
    texts = [f"{line},{number / 8},{-number},Bild “{number}”" for number, line in enumerate(lines)]
    listing.write_text("\n".join([f"{header},x,y,caption", *texts]) + "\n")
    pack_small(
        listing, tmp_path / "packed", root=str(images), format="webdataset", gpus=1, label_column="x,y", encode="png"
    )
    (path,) = shards(tmp_path / "packed")
    with tarfile.open(path) as archive:
        assert {member.name.partition(".")[2] for member in archive} == {"json", "png"}
        files = [archive.extractfile(member) for member in archive if member.name.endswith(".json")]
        found = [json.load(file) for file in files if file is not None]
    for fields, row in zip(found, rows(tmp_path / "packed"), strict=True):
        assert (
            fields["image/class/label"] == row["label"] == [int(row["caption"][6:-1]) / 8, -int(row["caption"][6:-1])]
        )
        assert fields["caption"] == row["caption"]
