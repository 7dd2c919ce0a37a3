"""What keeps two runs apart where nothing else would notice: each of these fails without its guard."""

import os
from pathlib import Path

import msgspec
import pytest

from packer.dataset.destination import claim_destination, join_claim
from packer.dataset.planfile import encode_claim
from packer.errors import ClaimLostError, DataSetError, OptionsError
from packer.pipeline import commit_parts, pack
from packer.prepare import make_plan
from packer.progress import SilentProgress
from packer.stores.local_store import TEMPORARY_FOLDER, LocalStore
from packer.stores.store import Claim
from packer.verifying import verify
from tests.tools.datasets import SerialEngine, digests, make_options, pack_small, serial_run


class Meanwhile(SerialEngine):
    """Does something when all shards are packed, before the commit."""

    def __init__(self, event) -> None:
        super().__init__()
        self._event = event

    def run(self, function, context, tasks, tick):
        yield from super().run(function, context, tasks, tick)
        if hasattr(context, "dest"):
            self._event()


def test_nothing_is_committed_under_the_claim_of_another_plan(images: Path, tmp_path: Path) -> None:
    """Written by a program that ends no other run's writes, as older versions were: only a look at it tells."""
    dest = tmp_path / "out"
    other = make_plan(serial_run(make_options(images, dest, seed=1)))[1]

    def replace_claim() -> None:
        (dest / "meta/plan.json").write_bytes(encode_claim(other))

    with pytest.raises(ClaimLostError, match="another run took it over meanwhile"):
        pack(make_options(images, dest), engine=Meanwhile(replace_claim))
    assert not (dest / "manifest.json").exists()


def test_nobody_goes_on_with_the_claim_of_another_plan(images: Path, tmp_path: Path) -> None:
    own, other = (make_plan(serial_run(make_options(images, tmp_path / "out", seed=seed))) for seed in (0, 1))
    dest = claim_destination(LocalStore(tmp_path / "out"), *own, overwrite=False)
    join_claim(dest, own[1])
    with pytest.raises(ClaimLostError):
        join_claim(dest, other[1])


def test_pack_does_not_go_on_with_a_copy(images: Path, tmp_path: Path) -> None:
    """Even one of the same options: a copy's plan names records of a data set, not images."""
    plan, document = make_plan(serial_run(make_options(images, tmp_path / "out")))
    copy = msgspec.structs.replace(document, command="reshard")
    claim_destination(LocalStore(tmp_path / "out"), plan, copy, overwrite=False)
    with pytest.raises(OptionsError, match="holds an unfinished reshard, expected one of pack"):
        pack_small(images, tmp_path / "out", resume=True)
    with pytest.raises(OptionsError, match="holds an unfinished reshard, expected one of pack"):
        commit_parts(str(tmp_path / "out"))


@pytest.mark.parametrize("is_same_plan", [True, False])
def test_a_run_that_fails_says_that_another_took_the_place_over(
    images: Path, tmp_path: Path, is_same_plan: bool
) -> None:
    """Whatever failed, that explains it; of the same plan, only the end of this run's writes tells."""
    dest = LocalStore(tmp_path / "out")
    other = make_plan(serial_run(make_options(images, tmp_path / "out", seed=1)))[1]

    def take_over() -> None:
        if is_same_plan:
            dest.claimed(Claim(folder=dest.open_folder("f" * 16, is_new=True))).end_others()
        else:
            (tmp_path / "out/meta/plan.json").write_bytes(encode_claim(other))
        raise DataSetError("a shard is damaged")

    with pytest.raises(ClaimLostError, match="another run took it over meanwhile"):
        pack(make_options(images, tmp_path / "out"), engine=Meanwhile(take_over))


@pytest.mark.parametrize(
    "key", ["train/train-00001-of-00004.tfrecord", "meta/index/train/train-00002-of-00004.idx", "a cut shard"]
)
def test_nothing_is_committed_that_is_not_there(images: Path, tmp_path: Path, key: str) -> None:
    dest = tmp_path / "out"

    def harm() -> None:
        if key == "a cut shard":
            os.truncate(dest / "train/train-00000-of-00004.tfrecord", 100)
        else:
            (dest / key).unlink()

    with pytest.raises(DataSetError, match=r"expected it as it was written, found (no|100) bytes; go on with"):
        pack(make_options(images, dest), engine=Meanwhile(harm))
    assert not (dest / "manifest.json").exists()
    pack_small(images, dest, resume=True)
    assert verify(str(dest), SerialEngine(), SilentProgress()).faults == ()


def test_a_run_that_goes_on_removes_receipts_of_other_plans(images: Path, tmp_path: Path) -> None:
    """Their shards will be replaced, and a later run of that plan must not count on them."""
    dest = tmp_path / "out"
    pack_small(images, dest, part="0/2")
    other = dest / "meta/receipts/0123456789abcdef/train-00000-of-00004.json"
    other.parent.mkdir()
    other.write_bytes(b"{}")
    pack_small(images, dest, part="1/2")
    assert not other.exists()
    assert len(list((dest / "meta/receipts").glob("*/*.json"))) == 4


def test_a_part_that_fails_leaves_alone_what_others_are_writing(images: Path, tmp_path: Path) -> None:
    dest = tmp_path / "out"
    pack_small(images, dest, part="0/2")
    (folder,) = (dest / TEMPORARY_FOLDER).iterdir()
    (folder / "of-another").write_bytes(b"half of a shard")

    def fail() -> None:
        raise KeyError

    for event in (lambda: None, fail):
        try:
            pack(make_options(images, dest, part="1/2"), engine=Meanwhile(event))
        except KeyError:
            assert event is fail
        assert (folder / "of-another").read_bytes() == b"half of a shard"
    pack_small(images, dest, resume=True)
    assert not (dest / TEMPORARY_FOLDER).exists()


def test_a_run_that_was_taken_over_writes_and_removes_nothing_more(images: Path, tmp_path: Path) -> None:
    dest = tmp_path / "out"
    plans = [make_plan(serial_run(make_options(images, dest, seed=seed))) for seed in (0, 1)]
    first = claim_destination(LocalStore(dest), *plans[0], overwrite=False)
    first.put("train/train-00000-of-00004.tfrecord", [b"first"])
    pack_small(images, dest, seed=1, overwrite=True)
    before = digests(dest)
    for act in (
        lambda: first.put("train/train-00000-of-00004.tfrecord", [b"late"]),
        lambda: first.put("late/late-00000-of-00001.tfrecord", [b"late"]),
        lambda: first.put_if_absent("absent", [b"late"]),
        lambda: first.delete("manifest.json"),
        lambda: first.delete_all(["meta/labels.json"]),
        lambda: first.end_others(),
    ):
        with pytest.raises(ClaimLostError):
            act()
    first.sweep()
    first.end_claim()
    assert digests(dest) == before


def test_strays_are_named_and_removed_at_the_commit(images: Path, tmp_path: Path) -> None:
    dest = tmp_path / "out"
    strays = (
        "train/train-00000-of-00009.tfrecord",
        "old/old-00000-of-00001.tfrecord",
        "meta/index/old/old-00000-of-00001.idx",
    )

    def leave() -> None:
        for key in strays:
            (dest / key).parent.mkdir(parents=True, exist_ok=True)
            (dest / key).write_bytes(b"stray")

    pack(make_options(images, dest), engine=Meanwhile(leave))
    assert verify(str(dest), SerialEngine(), SilentProgress()).faults == ()
    leave()
    faults = verify(str(dest), SerialEngine(), SilentProgress()).faults
    assert sorted(fault.partition(":")[0] for fault in faults) == sorted(strays)
