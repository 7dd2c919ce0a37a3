"""The description in Croissant 1.1 follows from the manifest, and MLCommons's own reader accepts it and reads by it."""

import collections
import json
from pathlib import Path
from typing import Any

import pytest

from packer.cli.main import run
from packer.dataset.croissant import About, render_card, render_croissant
from packer.progress import SilentProgress
from packer.verifying import verify
from tests.tools.datasets import FORMATS, SerialEngine, pack_small, read_manifest, read_records, write_images

WORDS = ["--license", "https://spdx.org/licenses/CC0-1.0", "--url", "https://example.org/set", "--creator", "A Museum"]
WORDS += ["--creator", "person:Ada Lovelace"]


@pytest.fixture(scope="module", params=FORMATS)
def dest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("croissant")
    source = write_images(folder / "source", 42)
    pack_small(source, folder / "set", format=request.param, split="train=0.8,val=0.2", allow_fill=True)
    assert run(["croissant", str(folder / "set"), *WORDS, "--card"]) == 0
    return folder / "set"


def faults(dest: Path) -> tuple[str, ...]:
    return verify(str(dest), SerialEngine(), SilentProgress()).faults


def test_it_follows_from_the_manifest_alone(dest: Path) -> None:
    about = About(
        licence="https://spdx.org/licenses/CC0-1.0",
        url="https://example.org/set",
        creators=("A Museum", "person:Ada Lovelace"),
    )
    manifest = read_manifest(dest)
    assert (dest / "croissant.json").read_bytes() == render_croissant(manifest, about)
    assert (dest / "README.md").read_bytes() == render_card(manifest, about)
    document = json.loads((dest / "croissant.json").read_bytes())
    files = {file["contentUrl"]: file["sha256"] for file in document["distribution"] if "sha256" in file}
    assert files == {shard.key: shard.sha256 for split in manifest.splits.values() for shard in split.shards}
    assert document["creator"] == [
        {"@type": "sc:Organization", "name": "A Museum"},
        {"@type": "sc:Person", "name": "Ada Lovelace"},
    ]
    assert "date" not in json.dumps(document).lower()


def test_the_card_counts_what_the_manifest_counts(dest: Path) -> None:
    manifest, card = read_manifest(dest), (dest / "README.md").read_text()
    assert f"| val | {manifest.splits['val'].num_records} | 0 | 4 |" in card
    assert "3 classes" in card
    assert 'license: "https://spdx.org/licenses/CC0-1.0"' in card


def test_verify_holds_it_against_the_manifest(dest: Path) -> None:
    path = dest / "croissant.json"
    good = path.read_bytes()
    assert faults(dest) == ()
    try:
        path.write_bytes(good.replace(read_manifest(dest).splits["val"].shards[0].sha256.encode(), b"0" * 64))
        assert faults(dest) == (
            "croissant.json: its distribution is not that of the manifest; write it anew with shardpack croissant, or "
            "remove it",
        )
        path.write_bytes(b"{")
        assert faults(dest)[0].startswith("croissant.json: is not JSON")
    finally:
        path.write_bytes(good)


def test_a_card_of_someone_else_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack_small(write_images(tmp_path / "source", 24), tmp_path / "set")
    (tmp_path / "set/README.md").write_text("mine")
    assert run(["croissant", str(tmp_path / "set"), "--card"]) == 2
    assert "README.md is there and is not shardpack's: move it away" in capsys.readouterr().err
    assert (tmp_path / "set/README.md").read_text() == "mine"
    assert not (tmp_path / "set/croissant.json").exists()


def test_packing_anew_removes_the_old_description(tmp_path: Path) -> None:
    source = write_images(tmp_path / "source", 24)
    pack_small(source, tmp_path / "set")
    assert run(["croissant", str(tmp_path / "set")]) == 0
    pack_small(source, tmp_path / "set", overwrite=True, seed=1)
    assert not (tmp_path / "set/croissant.json").exists()


def test_what_is_not_known_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack_small(write_images(tmp_path / "source", 24), tmp_path / "set")
    assert run(["croissant", str(tmp_path / "set"), "--url", "https://example.org", "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["path"] == f"{tmp_path}/set/croissant.json"
    assert "what only you know: --license, --creator" in shown.err


def read_by(dest: Path) -> Any:
    mlcroissant = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed")
    return mlcroissant.Dataset(str(dest / "croissant.json"))


@pytest.mark.croissant
@pytest.mark.slow
def test_its_own_reader_accepts_it_and_yields_the_records(dest: Path) -> None:
    dataset = read_by(dest)
    issues = dataset.metadata.issues
    assert list(issues.errors) == []
    missing = {text.rpartition('Property "')[2].partition('"')[0].rpartition("/")[2] for text in issues.warnings}
    assert missing <= {"citeAs", "datePublished", "version"}
    found = list(dataset.records("records"))
    rows = [
        (name, row)
        for name, split in read_manifest(dest).splits.items()
        for shard in split.shards
        for row in read_records(dest, shard.key)
    ]
    as_text = collections.Counter((r["records/split"].decode(), r["records/key"].decode()) for r in found)
    assert as_text == collections.Counter((name, row["key"]) for name, row in rows)
    by_key = {row["key"]: row for _, row in rows}
    for record in found:
        row = by_key[record["records/key"].decode()]
        for name in ("label", "source_num_bytes"):
            assert record[f"records/{name}"] == row[name]
    val = list(dataset.records("records", filters={"records/split": "val"}))
    assert len(val) == read_manifest(dest).splits["val"].num_records
    assert [row["splits/name"] for row in dataset.records("splits")] == ["train", "val"]


@pytest.mark.croissant
@pytest.mark.slow
def test_labels_of_several_numbers_are_read(tmp_path: Path) -> None:
    source = write_images(tmp_path / "source", 24)
    rows = [f"{path.relative_to(tmp_path)},{index},0.5" for index, path in enumerate(sorted(source.glob("*/*")))]
    (tmp_path / "list.csv").write_text("\n".join(["path,a,b", *rows]) + "\n")
    pack_small(tmp_path / "list.csv", tmp_path / "set", label_column="a,b")
    assert run(["croissant", str(tmp_path / "set"), *WORDS]) == 0
    found = [list(record["records/label"]) for record in read_by(tmp_path / "set").records("records")]
    assert sorted(found) == [[float(index), 0.5] for index in range(24)]


@pytest.mark.croissant
def test_fields_are_columns_that_its_reader_gives(tmp_path: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    source = write_images(tmp_path / "source", 12)
    paths = sorted(str(path.relative_to(source)) for path in source.glob("*/*"))
    rows = [{"path": path, "b": [[0, 0, 9, 9 + n]], "c": ["x"], "p": [n, 1]} for n, path in enumerate(paths)]
    (source / "list.jsonl").write_text("\n".join(map(json.dumps, rows)))
    fields = ["object=boxes:b+c", "pose=points:p"]
    pack_small(source / "list.jsonl", tmp_path / "set", field=fields, gpus=1)
    assert run(["croissant", str(tmp_path / "set"), *WORDS]) == 0
    dataset = mlcroissant.Dataset(jsonld=str(tmp_path / "set/croissant.json"))
    found = {row["records/key"]: row for row in dataset.records("records")}
    for row in read_records(tmp_path / "set", "train/train-00000-of-00001.tfrecord"):
        record = found[row["key"].encode()]
        assert list(record["records/object"]) == row["object"]
        assert list(record["records/object_class"]) == row["object_class"] == [0]
        assert list(record["records/pose"]) == row["pose"]
        assert list(record["records/pose_visible"]) == row["pose_visible"]
