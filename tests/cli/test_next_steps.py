"""What errors tell people to do next: it exists, and it works."""

import json
import re
from pathlib import Path

import pytest

from tests.cli.commands import shardpack
from tests.tools.datasets import digests, read_manifest, write_images, write_unmeasured_rejects

pytestmark = pytest.mark.slow

SMALL = ("--gpus", "4", "--resize", "24", "--workers", "1")


@pytest.fixture(scope="module")
def packed(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from packer.cli.main import run

    dest = tmp_path_factory.mktemp("packed") / "out"
    assert run(["pack", str(images), str(dest), *SMALL, "--format", "webdataset"]) == 0
    return dest


def test_commit_with_parts_missing_names_them(images: Path, tmp_path: Path, capfd) -> None:
    dest = tmp_path / "out"
    code, out, _ = shardpack(capfd, "pack", images, dest, *SMALL, "--part", "0/4")
    assert code == 0
    assert out.splitlines()[0] == f"{dest}: 1 shard of this part done; after the last part: shardpack commit {dest}"
    shardpack(capfd, "pack", images, dest, *SMALL, "--part", "2/4")
    code, _, errors = shardpack(capfd, "commit", dest)
    assert code == 1
    assert errors == (
        f"shardpack: {dest}: 2 of 4 shards are not packed, the first is train-00001-of-00004; pack again with the same "
        "options and --part 1/2, then commit\n"
    )
    assert shardpack(capfd, "pack", images, dest, *SMALL, *re.findall(r"--part \S+(?=,)", errors)[0].split())[0] == 0
    assert shardpack(capfd, "commit", dest)[0] == 0


def test_commit_with_one_part_missing(images: Path, tmp_path: Path, capfd) -> None:
    shardpack(capfd, "pack", images, tmp_path / "out", *SMALL, "--part", "0/4")
    for part in ("1/4", "2/4"):
        shardpack(capfd, "pack", images, tmp_path / "out", *SMALL, "--part", part)
    _, _, errors = shardpack(capfd, "commit", tmp_path / "out")
    assert ": 1 of 4 shards is not packed, the first is train-00003-of-00004; pack again" in errors
    assert "and --part 3/4, then commit" in errors


def test_commit_before_any_part(tmp_path: Path, capfd) -> None:
    code, _, errors = shardpack(capfd, "commit", tmp_path)
    assert code == 2
    assert errors == (
        f"shardpack: {tmp_path}: expected the shards of pack --part, but there is no plan; run pack there with "
        "--part 0/N to --part N-1/N first\n"
    )


@pytest.mark.parametrize("name", ["verify", "inspect", "show", "bench"])
def test_photographs_are_to_be_packed_first(images: Path, capfd, name: str) -> None:
    code, _, errors = shardpack(capfd, name, images)
    assert (code, errors) == (2, (
        f"shardpack: {images}: expected a finished data set, found no manifest.json; it holds images such as "
        "c0/0000.jpg, which pack makes a data set of\n"
    ))  # fmt: skip


def test_places_with_other_things_or_nothing(images: Path, packed: Path, tmp_path: Path, capfd) -> None:
    _, _, errors = shardpack(capfd, "verify", tmp_path / "none")
    assert "found no manifest.json; nothing is there: look at the path, or make one with pack\n" in errors
    _, _, errors = shardpack(capfd, "verify", packed / "train")
    assert (
        "it holds other files, such as train-00000-of-00004.tar: name the folder that manifest.json lies in" in errors
    )
    shardpack(capfd, "pack", images, tmp_path / "out", *SMALL, "--part", "0/4")
    _, _, errors = shardpack(capfd, "verify", tmp_path / "out")
    assert "an unfinished run is there: the same command with --resume finishes it, or commit after parts\n" in errors
    assert shardpack(capfd, "pack", images, tmp_path / "out", *SMALL, "--resume")[0] == 0


@pytest.mark.parametrize("name", ["pack", "plan"])
def test_what_is_packed_is_not_packed_again(packed: Path, tmp_path: Path, capfd, name: str) -> None:
    code, _, errors = shardpack(capfd, name, packed, tmp_path / "out", *SMALL)
    assert (code, errors) == (2, (
        f"shardpack: {packed}: expected images, got a data set that is packed already; reshard copies it for another "
        "number of GPUs or into another container, without encoding again\n"
    ))  # fmt: skip
    assert shardpack(capfd, "reshard", packed, tmp_path / "out", "--gpus", "2")[0] == 0


def test_a_copy_is_for_as_many_gpus_as_the_original(images: Path, packed: Path, tmp_path: Path, capfd) -> None:
    assert shardpack(capfd, "reshard", packed, tmp_path / "same")[0] == 0
    manifest = read_manifest(tmp_path / "same")
    assert (manifest.world, manifest.format) == (4, "webdataset")
    assert digests(tmp_path / "same/train") == digests(packed / "train")
    assert shardpack(capfd, "reshard", packed, tmp_path / "two", "--instances", "2", "--format", "recordio")[0] == 0
    assert (read_manifest(tmp_path / "two").world, read_manifest(tmp_path / "two").format) == (2, "recordio")


def test_a_run_that_rejects_fail_names_three_and_lists_all(tmp_path: Path, capfd) -> None:
    source, dest = tmp_path / "source", tmp_path / "out"
    bad = write_unmeasured_rejects(source, num_rejects=5)
    code, _, errors = shardpack(capfd, "pack", source, dest, *SMALL, "--max-rejects", "0.05")
    assert code == 1
    assert "items were rejected, expected at most 5.00% (--max-rejects); nothing was committed" in errors
    named = re.findall(r"(\S+): not_an_image", errors)
    assert len(named) == 3
    assert set(named) <= set(bad)
    assert errors.endswith(f"all that are known are listed in {dest}/meta/rejects.jsonl\n")
    listed = [json.loads(line) for line in (dest / "meta/rejects.jsonl").read_text().splitlines()]
    assert {line["key"] for line in listed} >= set(named)
    assert {line["reason"] for line in listed} == {"not_an_image"}
    assert shardpack(capfd, "pack", source, dest, *SMALL, "--max-rejects", "0.1", "--resume")[0] == 0


def test_a_source_that_is_bad_throughout_fails_before_packing(tmp_path: Path, capfd) -> None:
    source = write_images(tmp_path / "source", 40)
    for path in sorted(source.glob("*/*"))[::4]:
        path.write_bytes(b"no image")
    code, _, errors = shardpack(capfd, "pack", source, tmp_path / "out", *SMALL)
    assert code == 1
    assert "nothing was packed; mend the source, or raise --max-rejects; for example " in errors
    assert errors.count("not_an_image") == 3
    assert not (tmp_path / "out").exists()


def test_one_reject_was(tmp_path: Path, capfd) -> None:
    source = tmp_path / "source"
    write_unmeasured_rejects(source, num_rejects=1)
    _, _, errors = shardpack(capfd, "pack", source, tmp_path / "out", *SMALL)
    assert "1 of 60 items was rejected" in errors


def test_a_trial_packs_a_few_items_and_says_so(images: Path, tmp_path: Path, capfd) -> None:
    code, _, errors = shardpack(capfd, "pack", images, tmp_path / "out", *SMALL, "--limit", "20")
    assert (code, errors) == (0, "a trial with 20 of 60 items (--limit)\n")
    assert read_manifest(tmp_path / "out").splits["train"].num_records == 20
    whole = shardpack(capfd, "plan", images, *SMALL, "--json")[1]
    assert json.loads(shardpack(capfd, "plan", images, *SMALL, "--limit", "60", "--json")[1]) == json.loads(whole)
    assert shardpack(capfd, "plan", images, *SMALL, "--limit", "0")[2] == (
        "shardpack: --limit: expected a whole number of at least 1, got 0\n"
    )
