"""Lists of shards as SageMaker reads them: what they say, what no list may say, and how verification sees them."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packer.channels.key_lists import build_key_lists, format_key_list, key_list_faults, parse_key_list
from packer.errors import DataSetError, OptionsError
from packer.planning.layout import channel_manifest_key
from packer.stores.open_store import open_store
from tests.tools.datasets import pack_small, read_manifest, write_images
from tests.tools.manifests import make_manifest

NAMES = st.text("abc019-_.=", min_size=1, max_size=8).filter(lambda text: text.strip("."))


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    images = write_images(tmp_path_factory.mktemp("images"), 60)
    dest = tmp_path_factory.mktemp("packed") / "out"
    pack_small(images, dest, instances=2, gpus_per_instance=2, gpus=4, split="train=0.8,val=0.2", allow_fill=True)
    return dest


def test_a_list_is_a_prefix_and_names() -> None:
    data = format_key_list(["s3://bucket/set/train/b.rec", "s3://bucket/set/train/a.rec"])
    assert json.loads(data) == [{"prefix": "s3://bucket/set/train/"}, "b.rec", "a.rec"]
    assert json.loads(format_key_list(["s3://bucket/a"])) == [{"prefix": "s3://bucket/"}, "a"]
    assert json.loads(format_key_list(["s3://b/x/y/1", "s3://b/x/z/1"])) == [{"prefix": "s3://b/x/"}, "y/1", "z/1"]


@given(st.lists(st.lists(NAMES, min_size=1, max_size=4).map("/".join), min_size=1, unique=True))
def test_a_list_gives_back_what_it_was_made_of(keys: list[str]) -> None:
    uris = tuple(f"s3://bucket/{key}" for key in keys)
    data = format_key_list(uris)
    assert parse_key_list(data, name="list") == uris
    prefix, *names = json.loads(data)
    assert prefix["prefix"].endswith("/")
    assert all(names)


@pytest.mark.parametrize(
    ("uris", "said"),
    [
        ([], "one or more objects, each once, got 0"),
        (["s3://b/x", "s3://b/x"], "each once, got 2"),
        (["s3://one/train/x", "s3://two/train/x"], "objects of one bucket.*some of one and two"),
        (["s3://b/tr\nain/x"], r"advises against in keys, got '\\n'"),
        (["s3://b/é/x"], "advises against in keys, got 'é'"),
        (["s3://b/a#b/x"], "advises against in keys, got '#'"),
        (["s3://b/x/"], "s3://bucket/key without empty parts"),
        (["s3://b//x"], "without empty parts"),
        (["s3://b/../x"], "without empty parts"),
        (["/disk/x"], "s3://bucket/key"),
        (["s3://b"], "s3://bucket/key"),
        (["s3://b/" + "x" * 1018], "at most 1024 characters in a URI, got 1025"),
    ],
)
def test_what_no_list_may_say(uris: list[str], said: str) -> None:
    with pytest.raises(OptionsError, match=said):
        format_key_list(uris)


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b'[{"prefix": "s3://b/"}]', b'["x", "y"]', b'[{"p": "x"}, "y"]', b"\xff",
             b'[{"prefix": "s3://b/"}, "x", {"prefix": "s3://c/"}]']
)  # fmt: skip
def test_what_is_no_list(data: bytes) -> None:
    with pytest.raises(DataSetError, match="L2/train.manifest: expected a JSON list"):
        parse_key_list(data, name="L2/train.manifest")


def test_the_lists_of_a_data_set_deal_its_shards_to_local_ranks(packed: Path) -> None:
    manifest = read_manifest(packed)
    lists = build_key_lists(manifest, root="s3://bucket/set", local_size=2)
    assert set(lists) == {f"meta/sagemaker/L2/{s}{rank}.manifest" for s in ("train", "val") for rank in ("", 0, 1)}
    for split, entry in manifest.splits.items():
        uris = [f"s3://bucket/set/{shard.key}" for shard in entry.shards]
        for rank, expected in ((None, uris), (0, uris[0::2]), (1, uris[1::2])):
            key = channel_manifest_key(split, local_size=2, local_rank=rank)
            assert list(parse_key_list(lists[key], name=key)) == expected
            assert json.loads(lists[key])[0] == {"prefix": f"s3://bucket/set/{split}/"}
    with pytest.raises(OptionsError, match="split 'train': expected shards that divide by the 3 ranks .*, found 4"):
        build_key_lists(manifest, root="s3://bucket/set", local_size=3)


def test_two_splits_whose_lists_would_have_one_key() -> None:
    manifest = make_manifest({"train": 2, "train1": 2})
    with pytest.raises(OptionsError, match="L2/train1.manifest would be that of another split's local rank too"):
        build_key_lists(manifest, root="s3://bucket/set", local_size=2)
    build_key_lists(manifest, root="s3://bucket/set", local_size=1)


def test_a_data_set_on_a_disk_has_none(packed: Path) -> None:
    assert not (packed / "meta/sagemaker").exists()


def faults(folder: Path) -> str:
    return "\n".join(key_list_faults(open_store(str(folder)), read_manifest(folder)))


def test_the_lists_of_a_copy_are_held_against_its_manifest(packed: Path, tmp_path: Path) -> None:
    """As after a download: they speak of the place in S3."""
    (tmp_path / "manifest.json").write_bytes((packed / "manifest.json").read_bytes())
    for key, data in build_key_lists(read_manifest(packed), root="s3://bucket/set", local_size=2).items():
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(data)
    assert faults(tmp_path) == ""
    lists = tmp_path / "meta/sagemaker/L2"
    first = (lists / "train0.manifest").read_bytes()
    (lists / "train0.manifest").write_bytes((lists / "train1.manifest").read_bytes())
    assert "L2/train0.manifest: expected the shards of s3://bucket/set, found another list; write it anew" in faults(
        tmp_path
    )
    (lists / "train0.manifest").unlink()
    assert "L2/train0.manifest: is missing" in faults(tmp_path)
    (lists / "train0.manifest").write_bytes(first)
    (lists / "train2.manifest").write_bytes(first)
    assert "L2/train2.manifest: is no list of this data set; remove it" in faults(tmp_path)
    (lists / "train2.manifest").unlink()
    (lists.parent / "L3").mkdir()
    (lists.parent / "L3/train.manifest").write_bytes(first)
    assert "meta/sagemaker/L3/: no list can be right: split 'train': expected shards that divide" in faults(tmp_path)
