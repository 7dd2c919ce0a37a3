"""The manifest: its schema, its digest, and that it says what one has to know."""

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from packer.dataset.manifest import decode_manifest, encode_manifest
from packer.errors import DataSetError
from tests.tools.datasets import FORMATS, ROOT, pack_small, read_manifest

SCHEMA = json.loads((ROOT / "schemas/manifest.schema.json").read_text())


@pytest.fixture(scope="module", params=FORMATS)
def document(request: pytest.FixtureRequest, images: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    dest = tmp_path_factory.mktemp("packed") / "out"
    pack_small(images, dest, format=request.param, split="train=0.8,val=0.2")
    return json.loads((dest / "manifest.json").read_bytes())


def test_a_real_manifest_is_valid(document: dict) -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(document)


BROKEN = {
    "no splits": lambda d: d.pop("splits"),
    "no digest of a shard": lambda d: d["splits"]["train"]["shards"][0].pop("sha256"),
    "digest too short": lambda d: d["splits"]["train"]["shards"][0].update(sha256="ab12"),
    "upper-case digest": lambda d: d.update(plan_id=d["plan_id"].upper() + "A"),
    "negative count": lambda d: d["splits"]["train"].update(num_records=-1),
    "count as text": lambda d: d["splits"]["train"].update(num_records="48"),
    "fraction": lambda d: d["splits"]["train"]["shards"][0].update(num_bytes=1.5),
    "unknown format": lambda d: d.update(format="zip"),
    "unknown field": lambda d: d.update(owner="me"),
    "unknown field of a shard": lambda d: d["splits"]["train"]["shards"][0].update(etag="x"),
    "no world": lambda d: d.update(world=0),
    "shards by name": lambda d: d["splits"]["train"].update(shards={}),
    "negative rejects": lambda d: d["rejects"].update(missing=-1),
}


@pytest.mark.parametrize("damage", BROKEN.values(), ids=BROKEN.keys())
def test_broken_manifests_are_not(document: dict, damage: Callable[[dict], object]) -> None:
    broken = json.loads(json.dumps(document))
    damage(broken)
    assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(broken)
    with pytest.raises(DataSetError, match=r"^m\.json: "):
        decode_manifest(json.dumps(broken).encode(), name="m.json")


def test_the_schema_describes_every_field() -> None:
    """Readers in other languages have nothing else to go by."""
    for name in ("Manifest", "SplitEntry", "ShardEntry"):
        assert SCHEMA["$defs"][name]["title"] == name
        assert SCHEMA["$defs"][name]["description"]
    described = SCHEMA["$defs"]["ShardEntry"]["properties"]
    assert all(field.get("description") for field in described.values())


def test_no_time_host_or_place_is_in_it(document: dict, images: Path) -> None:
    text = json.dumps(document)
    assert str(images) not in text
    assert str(images.parent) not in text
    assert all(not shard["key"].startswith("/") for split in document["splits"].values() for shard in split["shards"])


def test_it_is_written_as_it_is_read(images: Path, tmp_path: Path) -> None:
    pack_small(images, tmp_path / "out")
    assert encode_manifest(read_manifest(tmp_path / "out")) == (tmp_path / "out/manifest.json").read_bytes()


def test_training_shards_must_be_equal(images: Path, tmp_path: Path) -> None:
    pack_small(images, tmp_path / "out")
    manifest = read_manifest(tmp_path / "out")
    unequal = json.loads(encode_manifest(manifest))
    unequal["splits"]["train"]["shards"][0]["num_records"] += 1
    unequal["splits"]["train"]["shards"][1]["num_records"] -= 1
    signed = _signed(unequal)
    with pytest.raises(DataSetError, match=r"shards of training split 'train' differ in records: \[14, 15, 16\]"):
        decode_manifest(signed, name="m.json")


ELSEWHERE = {
    "outside": "../secret/train/train-00000-of-00004.tfrecord",
    "absolute": "/etc/train-00000-of-00004.tfrecord",
    "a URI": "s3://bucket/train/train-00000-of-00004.tfrecord",
    "another split": "val/train-00000-of-00004.tfrecord",
    "another index": "train/train-00001-of-00004.tfrecord",
    "another count": "train/train-00000-of-00005.tfrecord",
    "another container": "train/train-00000-of-00004.rec",
    "one step back": "train/../train/train-00000-of-00004.tfrecord",
    "among the side files": "meta/train-00000-of-00004.tfrecord",
    "a line feed": "train/train-00000-of-00004.tfrecord\n",
    "nothing": "",
}


@pytest.mark.parametrize("key", ELSEWHERE.values(), ids=ELSEWHERE.keys())
def test_shards_lie_where_they_are_written(images: Path, tmp_path: Path, key: str) -> None:
    pack_small(images, tmp_path / "out")
    document = json.loads((tmp_path / "out/manifest.json").read_bytes())
    document["splits"]["train"]["shards"][0]["key"] = key
    expected = r"expected shard 0 of split 'train' under the key train/train-00000-of-00004\.tfrecord, found '"
    with pytest.raises(DataSetError, match=expected) as caught:
        decode_manifest(_signed(document), name="m.json")
    assert str(caught.value).isprintable()


def test_shards_are_in_their_order(images: Path, tmp_path: Path) -> None:
    pack_small(images, tmp_path / "out")
    document = json.loads((tmp_path / "out/manifest.json").read_bytes())
    document["splits"]["train"]["shards"].reverse()
    with pytest.raises(DataSetError, match="expected shard 0 of split 'train' under the key"):
        decode_manifest(_signed(document), name="m.json")


@pytest.mark.parametrize("name", ["../secret", "/etc", "meta", "Train", "train/x", "", "a" * 33])
def test_splits_have_names_of_splits(images: Path, tmp_path: Path, name: str) -> None:
    pack_small(images, tmp_path / "out")
    document = json.loads((tmp_path / "out/manifest.json").read_bytes())
    split = document["splits"].pop("train")
    for shard in split["shards"]:
        shard["key"] = shard["key"].replace("train", name)
    document["splits"][name] = split
    with pytest.raises(DataSetError, match="expected names of splits such as train, found '"):
        decode_manifest(_signed(document), name="m.json")


def test_shards_must_divide_by_the_world(images: Path, tmp_path: Path) -> None:
    pack_small(images, tmp_path / "out")
    document = json.loads((tmp_path / "out/manifest.json").read_bytes())
    document["world"] = 3
    with pytest.raises(DataSetError, match="train has 4 shards, which do not divide by the world of 3"):
        decode_manifest(_signed(document), name="m.json")


def _signed(document: dict) -> bytes:
    import msgspec

    from packer.dataset.manifest import Manifest

    return encode_manifest(msgspec.convert(document, Manifest))
