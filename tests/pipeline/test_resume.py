"""--resume goes on with the stored plan: it keeps what is whole, packs what is not, and never lists again."""

import contextlib
import random
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from packer.errors import DataSetError, OptionsError, PackerError, TooManyRejectsError
from packer.packing.shard import pack_shard
from packer.pipeline import PackResult, pack
from tests.tools.datasets import (
    FORMATS,
    SerialEngine,
    digests,
    list_keys,
    make_options,
    pack_small,
    write_images,
    write_listing,
    write_unmeasured_rejects,
)


class OutageError(Exception):
    """Ends a run in the middle."""


class FailingEngine(SerialEngine):
    """Packs some shards and then fails."""

    def __init__(self, num_shards: int) -> None:
        super().__init__()
        self._left = num_shards

    def run(self, function, context, tasks, tick):
        for result in super().run(function, context, tasks, tick):
            yield result
            self._left -= function is pack_shard
            if not self._left:
                raise OutageError


def interrupt(source: Path, dest: Path, *, after_shards: int = 3, **options) -> None:
    """Pack some shards and stop."""
    with pytest.raises(OutageError):
        pack(make_options(source, dest, **options), engine=FailingEngine(after_shards))
    assert len(list(dest.glob("meta/receipts/*/*"))) == after_shards
    assert not (dest / "manifest.json").exists()


def resume(source: Path, dest: Path, **options) -> PackResult:
    return pack_small(source, dest, resume=True, **options)


@pytest.fixture(scope="module")
def reference(images: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    dest = tmp_path_factory.mktemp("reference") / "out"
    pack_small(images, dest)
    return digests(dest)


def test_finished_shards_are_kept(images: Path, tmp_path: Path, reference: dict[str, str]) -> None:
    dest = tmp_path / "out"
    interrupt(images, dest)
    written = {path: path.stat().st_mtime_ns for path in dest.glob("train/*")}
    result = resume(images, dest)
    assert (result.num_reused, result.num_shards) == (3, 4)
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert digests(dest) == reference


@pytest.mark.slow
@pytest.mark.parametrize("name", ["train/{}.tfrecord", "meta/index/train/{}.idx", "meta/records/train/{}.parquet"])
@pytest.mark.parametrize("damage", ["deleted", "emptied", "cut", "flipped"])
def test_what_was_harmed_meanwhile_is_packed_again(
    images: Path, tmp_path: Path, reference: dict[str, str], name: str, damage: str
) -> None:
    dest = tmp_path / "out"
    interrupt(images, dest)
    harm(dest / name.format("train-00001-of-00004"), damage)
    assert resume(images, dest).num_reused == 2
    assert digests(dest) == reference


def test_a_list_that_was_harmed_is_written_again(images: Path, tmp_path: Path) -> None:
    pack_small(images, tmp_path / "reference", format="recordio")
    for damage in ("deleted", "cut", "flipped"):
        dest = tmp_path / damage
        interrupt(images, dest, format="recordio")
        harm(dest / "meta/index/train/train-00001-of-00004.lst", damage)
        resume(images, dest, format="recordio")
        assert digests(dest) == digests(tmp_path / "reference")


@pytest.mark.parametrize("damage", ["deleted", "emptied", "cut"])
def test_a_receipt_that_was_harmed_is_as_none(
    images: Path, tmp_path: Path, reference: dict[str, str], damage: str
) -> None:
    dest = tmp_path / "out"
    interrupt(images, dest)
    harm(next(dest.glob("meta/receipts/*/train-00001-of-00004.json")), damage)
    assert resume(images, dest).num_reused == 2
    assert digests(dest) == reference


def harm(path: Path, damage: str) -> None:
    content = path.read_bytes()
    if damage == "deleted":
        path.unlink()
    elif damage == "flipped":
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    elif damage == "zeros":
        path.write_bytes(bytes(len(content)))
    else:
        path.write_bytes(content[: 0 if damage == "emptied" else len(content) // 2])


CHANGES: dict[str, dict[str, Any]] = {
    "--seed": {"seed": 1},
    "--quality": {"quality": 90},
    "--resize": {"resize": "32"},
    "--fit": {"fit": "long"},
    "--format": {"format": "recordio"},
    "--gpus": {"gpus": 2},
    "--shard-size": {"shard_size": "1MB"},
    "--split": {"split": "train=0.8,val=0.2"},
    "--stratify": {"stratify": True},
    "--flat": {"flat": True},
    "--max-pixels": {"max_pixels": 1000},
    "--dedupe": {"dedupe": True},
}


@pytest.mark.slow
@pytest.mark.parametrize("option", CHANGES)
def test_changed_options_are_refused(images: Path, tmp_path: Path, option: str) -> None:
    dest = tmp_path / "out"
    interrupt(images, dest)
    before = digests(dest)
    with pytest.raises(OptionsError) as caught:
        resume(images, dest, **CHANGES[option])
    (field, value), *_ = CHANGES[option].items()
    first = msgspec.to_builtins(make_options(images, dest))[field]
    assert str(caught.value).startswith(f"`{field}`: expected {first!r} as in the run to be resumed, got {value!r}; ")
    assert caught.value.exit_code == 2
    assert digests(dest) == before


def test_another_source_is_refused_and_another_way_to_write_it_is_not(
    images: Path, tmp_path: Path, reference: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dest = tmp_path / "out"
    interrupt(images, dest)
    other = write_images(tmp_path / "other", 60)
    with pytest.raises(OptionsError, match=f"`source`: expected '{images}' as in the run to be resumed, got '{other}'"):
        resume(other, dest)
    monkeypatch.chdir(images.parent)
    resume(Path(images.name), dest)
    assert digests(dest) == reference


def test_a_source_that_was_moved_is_found_by_a_link(images: Path, tmp_path: Path, reference: dict[str, str]) -> None:
    """The plan has the source's absolute path, and another source of equal names would give other bytes."""
    source, dest = tmp_path / "source", tmp_path / "out"
    shutil.copytree(images, source)
    interrupt(source, dest)
    moved = source.rename(tmp_path / "moved")
    with pytest.raises(OptionsError, match=r"^`source`: expected .* \(a source that was moved: make a symbolic link"):
        resume(moved, dest)
    source.symlink_to(moved)
    assert resume(source, dest).num_reused == 3
    assert {**digests(dest), "meta/plan.json": ""} == {**reference, "meta/plan.json": ""}


def test_how_a_run_is_done_may_change(images: Path, tmp_path: Path, reference: dict[str, str]) -> None:
    dest = tmp_path / "out"
    interrupt(images, dest)
    pack(make_options(images, dest, workers=1, resume=True))
    assert digests(dest) == reference


def test_more_rejects_may_be_accepted_afterwards(tmp_path: Path) -> None:
    """--max-rejects and --on-reject decide whether a data set is made, not which."""
    source = tmp_path / "source"
    write_unmeasured_rejects(source, num_rejects=2)
    with pytest.raises(TooManyRejectsError, match=r"2 of 60 items .* raise `max_rejects` and `resume=True`"):
        pack_small(source, tmp_path / "out", max_rejects=0.03)
    assert not (tmp_path / "out/manifest.json").exists()
    resume(source, tmp_path / "out", max_rejects=0.1)
    pack_small(source, tmp_path / "at-once", max_rejects=0.1)
    found, expected = digests(tmp_path / "out"), digests(tmp_path / "at-once")
    claims = found.pop("meta/plan.json"), expected.pop("meta/plan.json")
    assert claims[0] != claims[1]  # they hold the options as they were given
    assert found == expected


def test_rejects_of_finished_shards_fail_a_run_that_fails_on_rejects(tmp_path: Path) -> None:
    source, dest = tmp_path / "source", tmp_path / "out"
    first, _ = write_unmeasured_rejects(source, num_rejects=2)
    interrupt(source, dest, after_shards=4, max_rejects=0.1)
    with pytest.raises(PackerError, match=rf"{first}: not_an_image: .*\(`on_reject=fail`\)"):
        resume(source, dest, max_rejects=0.1, on_reject="fail")
    assert not (dest / "manifest.json").exists()
    assert resume(source, dest, max_rejects=0.1).num_reused == 4


def test_rejects_that_are_met_before_the_plan_leave_nothing(tmp_path: Path) -> None:
    source = write_images(tmp_path / "source", 60)
    for index in (3, 7, 11, 12, 13, 14):
        next(source.glob(f"*/{index:04d}.*")).write_bytes(b"not an image")
    with pytest.raises(TooManyRejectsError, match=r"of 60 items were rejected, expected at most 1.00%"):
        pack_small(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_empty_destination_is_an_ordinary_run(images: Path, tmp_path: Path, reference: dict[str, str]) -> None:
    assert resume(images, tmp_path / "out").num_reused == 0
    assert digests(tmp_path / "out") == reference


def test_a_finished_data_set_is_returned_at_once(tmp_path: Path) -> None:
    source, dest = write_images(tmp_path / "source", 12), tmp_path / "out"
    first = pack_small(source, dest)
    before = digests(dest)
    shutil.rmtree(source)
    second = resume(source, dest)
    assert second.manifest == first.manifest
    assert second.num_reused == 4
    assert digests(dest) == before


@pytest.mark.parametrize("format_name", FORMATS)
def test_the_source_is_not_listed_again(images: Path, tmp_path: Path, format_name: str) -> None:
    source, dest = tmp_path / "source", tmp_path / "out"
    shutil.copytree(images, source)
    pack_small(source, tmp_path / "reference", format=format_name)
    interrupt(source, dest, format=format_name)
    write_images(source, 80, num_classes=4)
    for index in range(60):  # what was planned stays, and stays in its place
        shutil.copy(next(images.glob(f"*/{index:04d}.*")), source / f"c{index % 3}")
    resume(source, dest, format=format_name)
    assert digests(dest) == digests(tmp_path / "reference")


def test_a_listing_is_not_read_again(images: Path, tmp_path: Path) -> None:
    listing, dest = write_listing(tmp_path / "list.csv", images), tmp_path / "out"
    pack_small(listing, tmp_path / "reference", root=str(images))
    interrupt(listing, dest, root=str(images))
    listing.unlink()
    resume(listing, dest, root=str(images))
    assert digests(dest) == digests(tmp_path / "reference")


@pytest.mark.parametrize("damage", ["deleted", "emptied", "cut"])
def test_a_plan_whose_items_are_harmed_is_not_gone_on_with(images: Path, tmp_path: Path, damage: str) -> None:
    dest = tmp_path / "out"
    interrupt(images, dest)
    harm(next(dest.glob("meta/plan/*")), damage)
    with pytest.raises(DataSetError, match=r"meta/plan/.*parquet: .*start anew with `overwrite=True`"):
        resume(images, dest)
    assert "manifest.json" not in list_keys(dest)


@pytest.mark.slow
def test_a_flipped_bit_of_the_items_changes_no_byte_of_a_shard(
    images: Path, tmp_path: Path, reference: dict[str, str]
) -> None:
    interrupt(images, tmp_path / "out", after_shards=1)
    part = next((tmp_path / "out").glob("meta/plan/*"))
    content, name = part.read_bytes(), str(part.relative_to(tmp_path / "out"))
    positions = random.Random(5)
    num_told = 0
    for trial in range(60):
        dest = tmp_path / str(trial)
        shutil.copytree(tmp_path / "out", dest)
        flipped = bytearray(content)
        flipped[positions.randrange(len(content))] ^= 1 << positions.randrange(8)
        (dest / name).write_bytes(flipped)
        with contextlib.suppress(DataSetError):
            resume(images, dest)
            assert digests(dest) | {name: reference[name]} == reference
        num_told += not (dest / "manifest.json").exists()
    assert num_told > 10


@pytest.mark.parametrize("damage", ["emptied", "cut", "zeros"])
def test_a_claim_that_a_power_cut_emptied_is_planned_again(
    images: Path, tmp_path: Path, reference: dict[str, str], damage: str
) -> None:
    dest = tmp_path / "out"
    interrupt(images, dest)
    harm(dest / "meta/plan.json", damage)
    for part in dest.glob("meta/plan/*"):
        part.write_bytes(b"")
    assert resume(images, dest).num_reused == 3
    assert digests(dest) == reference


def test_a_claim_that_was_emptied_before_any_shard_was_packed(
    images: Path, tmp_path: Path, reference: dict[str, str]
) -> None:
    (tmp_path / "out/meta").mkdir(parents=True)
    (tmp_path / "out/meta/plan.json").write_bytes(b"")
    resume(images, tmp_path / "out")
    assert digests(tmp_path / "out") == reference


def test_an_emptied_claim_and_receipts_of_another_plan(images: Path, tmp_path: Path) -> None:
    dest = tmp_path / "out"
    interrupt(images, dest)
    before = {key: digest for key, digest in digests(dest).items() if key != "meta/plan.json"}
    harm(dest / "meta/plan.json", "emptied")
    with pytest.raises(DataSetError, match=r"meta/plan.json: a power cut has emptied it, .* is of plan [0-9a-f]{16}"):
        resume(images, dest, seed=1)
    assert {key: digest for key, digest in digests(dest).items() if key != "meta/plan.json"} == before


def test_receipts_of_the_older_place_count(images: Path, tmp_path: Path, reference: dict[str, str]) -> None:
    """Directly in meta/receipts, where versions kept them that did not yet tell plans apart."""
    for damage in ("", "emptied"):
        dest = tmp_path / f"out{damage}"
        interrupt(images, dest)
        for receipt in dest.glob("meta/receipts/*/*"):
            receipt.rename(dest / "meta/receipts" / receipt.name)
        next(path for path in dest.glob("meta/receipts/*") if path.is_dir()).rmdir()
        if damage:
            harm(dest / "meta/plan.json", damage)
        assert resume(images, dest).num_reused == 3
        assert digests(dest) == reference


def test_an_edited_claim_is_told(images: Path, tmp_path: Path) -> None:
    dest = tmp_path / "out"
    interrupt(images, dest)
    plan = dest / "meta/plan.json"
    plan.write_text(plan.read_text().replace('"seed": 0', '"seed": 1'))
    with pytest.raises(DataSetError, match=r"meta/plan.json: edited after it was written"):
        resume(images, dest)
