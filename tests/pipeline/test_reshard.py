import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from packer.cli.main import run
from packer.dataset.planfile import load_plan
from packer.errors import DataSetError, OptionsError
from packer.formats.registry import get_format
from packer.options import parse_options
from packer.pipeline import commit_parts, pack
from packer.resharding import reshard
from packer.specs import FormatName
from packer.stores.local_store import LocalStore
from tests.tools.datasets import (
    FORMATS,
    SerialEngine,
    digests,
    list_keys,
    pack_small,
    read_manifest,
    read_records,
    write_images,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    folder = write_images(tmp_path_factory.mktemp("source"), 96)
    (folder / "c0" / "broken.jpg").write_bytes(b"\xff\xd8\xff no image")
    return folder


@pytest.fixture(scope="module", params=FORMATS)
def packed(request, source: Path, tmp_path_factory) -> Path:
    dest = tmp_path_factory.mktemp("packed") / "data"
    pack_small(
        source, dest, split="train=0.75,val=0.25", format=request.param, max_rejects=0.1, stratify=True, allow_fill=True
    )
    return dest


def copy(packed: Path, dest: Path, **options: object) -> None:
    options.setdefault("format", read_manifest(packed).format)
    values = {"source": str(packed), "dest": str(dest), "allow_fill": True, **options}
    reshard(parse_options(values), engine=SerialEngine())
    assert run(["verify", str(dest), "--decode", "--workers", "1"]) == 0


def images(dest: Path) -> dict[str, dict[str, bytes]]:
    """Return the encoded image of each item, by split and key."""
    manifest = read_manifest(dest)
    container = get_format(manifest.format)
    found: dict[str, dict[str, bytes]] = {}
    for name, split in manifest.splits.items():
        for shard in split.shards:
            records = container.iter_buffer(memoryview((dest / shard.key).read_bytes()), name=shard.key)
            for record, row in zip(records, read_records(dest, shard.key), strict=True):
                found.setdefault(name, {})[row["key"]] = container.decode_sample(record.payload).encoded
    return found


@pytest.mark.parametrize(("gpus", "container"), list(itertools.product([1, 2, 6], FORMATS)))
def test_images_and_splits_stay(packed: Path, tmp_path: Path, gpus: int, container: str) -> None:
    copy(packed, tmp_path / "new", gpus=gpus, format=container)
    before, after = read_manifest(packed), read_manifest(tmp_path / "new")
    assert images(tmp_path / "new") == images(packed)
    assert after.world == gpus
    assert all(len(split.shards) == gpus for split in after.splits.values())
    assert (after.pixels, after.rejects, after.num_classes) == (before.pixels, before.rejects, before.num_classes)
    assert {n: s.label_counts for n, s in after.splits.items()} == {n: s.label_counts for n, s in before.splits.items()}
    assert (tmp_path / "new/meta/rejects.jsonl").read_bytes() == (packed / "meta/rejects.jsonl").read_bytes()


@pytest.mark.parametrize("encoding", [{}, {"encode": "keep", "resize": None}], ids=["jpeg", "keep"])
def test_the_shards_of_another_world_are_those_of_packing_for_it(tmp_path: Path, encoding: dict[str, Any]) -> None:
    """Without rejects the copy is what packing for that world gives, so nothing is lost by packing early."""
    folder = write_images(tmp_path / "source", 96)
    options = {"split": "train=0.75,val=0.25", "format": "tfrecord", **encoding}
    pack_small(folder, tmp_path / "four", **options)
    pack_small(folder, tmp_path / "two", **options, gpus=2)
    copy(tmp_path / "four", tmp_path / "copied", gpus=2)
    expected = {key: digest for key, digest in digests(tmp_path / "two").items() if "plan" not in key}
    found = {key: digest for key, digest in digests(tmp_path / "copied").items() if "plan" not in key}
    assert found.keys() == expected.keys()
    assert {key for key in found if found[key] != expected[key]} <= {"manifest.json"}
    first, second = read_manifest(tmp_path / "two"), read_manifest(tmp_path / "copied")
    assert first.splits == second.splits


@pytest.mark.parametrize("other", FORMATS)
def test_there_and_back_gives_the_same_records(packed: Path, tmp_path: Path, other: FormatName) -> None:
    copy(packed, tmp_path / "there", gpus=2, format=other)
    copy(tmp_path / "there", tmp_path / "back", gpus=4)
    copy(packed, tmp_path / "direct", gpus=4, format=other)
    assert read_manifest(tmp_path / "back").splits == read_manifest(tmp_path / "direct").splits


def test_a_damaged_data_set_is_not_copied(source: Path, tmp_path: Path) -> None:
    pack_small(source, tmp_path / "data", max_rejects=0.1, allow_fill=True)
    shard = tmp_path / "data" / "train" / "train-00001-of-00004.tfrecord"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(DataSetError, match=r"is damaged, so it was not copied: train/train-00001-of-00004"):
        copy(tmp_path / "data", tmp_path / "new", gpus=2)
    assert not (tmp_path / "new").exists()


def test_what_cannot_be_copied(source: Path, packed: Path, tmp_path: Path) -> None:
    assert run(["reshard", str(source), str(tmp_path / "new"), "--gpus", "2"]) == 2
    assert run(["reshard", str(packed), str(packed / "inside"), "--gpus", "2"]) == 2
    with pytest.raises(OptionsError, match="items for 200 shards"):
        copy(packed, tmp_path / "new", gpus=200)


def test_an_interrupted_copy_is_resumed(packed: Path, tmp_path: Path) -> None:
    class StopsAfterTwo(SerialEngine):
        def run(self, function, context, tasks, tick):
            for number, result in enumerate(super().run(function, context, tasks, tick)):
                if number == 2 and function.__name__ == "reshard_shard":
                    raise KeyboardInterrupt
                yield result

    container = read_manifest(packed).format
    values = {"source": str(packed), "dest": str(tmp_path / "new"), "gpus": 2, "format": container, "allow_fill": True}
    with pytest.raises(KeyboardInterrupt):
        reshard(parse_options(values), engine=StopsAfterTwo())
    result = reshard(parse_options({**values, "resume": True}), engine=SerialEngine())
    assert result.num_reused >= 2
    copy(packed, tmp_path / "whole", gpus=2)
    assert digests(tmp_path / "new").keys() == digests(tmp_path / "whole").keys()
    assert read_manifest(tmp_path / "new") == read_manifest(tmp_path / "whole")
    assert not [key for key in list_keys(tmp_path / "new") if "receipts" in key or "tmp" in key]
    again = reshard(parse_options({**values, "resume": True}), engine=SerialEngine())
    assert (again.num_reused, again.manifest) == (again.num_shards, result.manifest)


def test_an_interrupted_copy_is_no_other_command_s(packed: Path, tmp_path: Path) -> None:
    """Statistics and rejects of the original are known to reshard alone."""

    class StopsAtTheEnd(SerialEngine):
        def run(self, function, context, tasks, tick):
            yield from super().run(function, context, tasks, tick)
            if function.__name__ == "reshard_shard":
                raise KeyboardInterrupt

    container = read_manifest(packed).format
    values = {"source": str(packed), "dest": str(tmp_path / "new"), "gpus": 2, "format": container, "allow_fill": True}
    with pytest.raises(KeyboardInterrupt):
        reshard(parse_options(values), engine=StopsAtTheEnd())
    before = digests(tmp_path / "new")
    text = r"holds an unfinished reshard, expected one of pack; go on with reshard `resume=True`"
    with pytest.raises(OptionsError, match=text):
        commit_parts(str(tmp_path / "new"))
    with pytest.raises(OptionsError, match=text):
        pack(parse_options({**values, "resume": True}), engine=SerialEngine())
    assert digests(tmp_path / "new") == before
    copied = reshard(parse_options({**values, "resume": True}), engine=SerialEngine()).manifest
    assert copied is not None
    assert (copied.pixels, copied.rejects) == (read_manifest(packed).pixels, read_manifest(packed).rejects)
    assert commit_parts(str(tmp_path / "new")).manifest == copied
    assert load_plan(LocalStore(packed)).command == "pack"
    assert json.loads((packed / "meta/plan.json").read_bytes())["command"] == "pack"


def test_a_stratified_pack_and_copy_hold_classes_evenly(packed: Path, tmp_path: Path) -> None:
    copy(packed, tmp_path / "new", gpus=6)
    for shard in read_manifest(tmp_path / "new").splits["train"].shards:
        labels = [row["label"] for row in read_records(tmp_path / "new", shard.key) if not row["is_fill"]]
        assert max(labels.count(label) for label in range(3)) - min(labels.count(label) for label in range(3)) <= 2


def test_options_of_pack_that_do_not_apply_are_unknown(packed: Path, tmp_path: Path, capsys) -> None:
    assert run(["reshard", str(packed), str(tmp_path / "new"), "--quality", "80"]) == 2
    assert "--quality" in capsys.readouterr().err
