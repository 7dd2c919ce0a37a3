"""The page on the format is enough to read every container, its indexes and its tables."""

import ast
import hashlib
import io
import json
import re
import struct
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from packer.dataset.manifest import Manifest, ShardEntry, SplitEntry
from packer.formats.features import RESERVED_FEATURES
from packer.formats.recordio import frame_record
from tests.formats import plain_reader
from tests.formats.plain_reader import read_shards
from tests.tools.datasets import FORMATS, pack_small, read_manifest, read_records, write_images
from tests.tools.golden_sets import GOLDEN

PAGE = (Path(__file__).parents[2] / "packer/docs/format.md").read_text()


@pytest.fixture(scope="module", params=["golden/tfrecord", "golden/recordio", *FORMATS])
def dest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set that release 0.1.0 wrote, or one of each container with fills, classes and a text column."""
    kind, _, name = request.param.rpartition("/")
    if kind:
        return GOLDEN / "v1" / name
    folder = tmp_path_factory.mktemp("page")
    images = sorted(write_images(folder / "source", 41).glob("*/*"))
    rows = [f"{path.relative_to(folder)},{int(path.parent.name[1])},caption {path.name}" for path in images]
    (folder / "list.csv").write_text("\n".join(["path,label,caption", *rows]) + "\n")
    options = {"split": "train=0.8,val=0.2", "allow_fill": True, "format": request.param}
    pack_small(folder / "list.csv", folder / "set", **options)
    return folder / "set"


def test_the_reader_knows_nothing_of_shardpack() -> None:
    tree = ast.parse(Path(plain_reader.__file__).read_text())
    modules = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    modules |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert modules == {"io", "json", "struct", "typing", "collections.abc", "pathlib", "pyarrow.parquet"}


def test_all_records_are_read_with_their_labels_and_fields(dest: Path) -> None:
    manifest = read_manifest(dest)
    for split, entry in manifest.splits.items():
        found = list(read_shards(dest, split))
        rows = [row for shard in entry.shards for row in read_records(dest, shard.key)]
        assert len(found) == len(rows) == entry.num_records
        for record, row in zip(found, rows, strict=True):
            assert record["image/class/label"] == row["label"]
            with Image.open(io.BytesIO(record["image/encoded"])) as image:
                image.load()
            if manifest.format != "recordio":
                text = {
                    name: v.decode() if isinstance(v, bytes) else v for name, v in record.items() if "enc" not in name
                }
                assert text["image/filename"] == row["key"]
                assert text["image/key/sha256"] == row["source_sha256"].hex()
                assert text.get("caption") == row.get("caption")
                if manifest.format != "parquet":
                    assert (text["image/width"], text["image/height"]) == image.size
                    assert text["image/format"] == image.format.lower()
        counts = Counter(str(row["label"]) for row in rows if not row["is_fill"])
        assert manifest.label_kind == "floats" or dict(counts) == entry.label_counts


def test_indexes_and_tables_say_where_records_are(dest: Path) -> None:
    manifest = read_manifest(dest)
    for split, entry in manifest.splits.items():
        for shard in entry.shards:
            stem = Path(shard.key).stem
            index = (dest / f"meta/index/{split}/{stem}.idx").read_text()
            assert hashlib.sha256(index.encode()).hexdigest() == shard.index_sha256
            data = (dest / shard.key).read_bytes()
            if manifest.format == "parquet":
                head, *lines = index.splitlines()
                assert head == "shardpack 1 image"
                spans = [tuple(map(int, line.split(" "))) for line in lines]
                images = [record["image/encoded"] for record in plain_reader.parse_parquet(data)]
                assert [data[at : at + size] for at, size in spans] == images
            else:
                sizes = [row["num_bytes"] for row in read_records(dest, shard.key)]
                offsets = [sum(sizes[:position]) for position in range(len(sizes))]
                assert parse_index(index, manifest.format) == offsets
            assert (len(data), hashlib.sha256(data).hexdigest()) == (shard.num_bytes, shard.sha256)


def parse_index(text: str, name: str) -> list[int]:
    lines = text.splitlines()
    if name == "tfrecord":
        return [int(line.split(" ")[0]) for line in lines]
    if name == "recordio":
        return [int(line.split("\t")[1]) for line in lines]
    assert lines[0] == f"v1.2 {len(lines) - 1}"
    return [int(line.split(" ")[1]) - 512 for line in lines[1:]]


def test_the_digest_is_of_the_file_without_it(dest: Path) -> None:
    data = (dest / "manifest.json").read_bytes()
    digest = json.loads(data)["digest"]
    assert hashlib.sha256(data.replace(digest.encode(), b"")).hexdigest() == digest


def test_the_page_names_every_field_and_feature() -> None:
    named = set(re.findall(r"`([A-Za-z_0-9/.*\[\]]+)`", PAGE)) | {"version", "digest"}
    fields = {name for kind in (Manifest, SplitEntry, ShardEntry) for name in kind.__struct_fields__}
    assert fields - named == set()
    assert RESERVED_FEATURES - named == set()


def test_a_payload_that_was_cut_is_joined() -> None:
    image = bytes.fromhex("0a23d7ce") * 3 + b"image" + bytes.fromhex("0a23d7ce")
    payload = struct.pack("<IfQQ", 0, 2.0, 5, 0) + image
    framed = b"".join(frame_record(payload))
    assert framed.count(bytes.fromhex("0a23d7ce")) == 5, (
        "four parts begin so, and the last holds it off a multiple of 4"
    )
    assert list(plain_reader.parse_recordio(framed)) == [
        {"image/class/label": 2.0, "position": 5, "image/encoded": image}
    ]
