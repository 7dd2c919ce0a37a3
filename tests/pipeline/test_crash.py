"""A run that is killed at any moment goes on with --resume, to the very files of a run that nobody disturbed."""

import contextlib
import hashlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from packer.specs import FormatName
from packer.stores.local_store import LocalStore
from tests.tools.datasets import (
    FORMATS,
    ROOT,
    command,
    digests,
    list_keys,
    pack_small,
    read_manifest,
    write_images,
)

pytestmark = pytest.mark.slow

SPLITS = {"split": "train=0.75,val=0.25", "gpus": 2}
WRITES = ("put", "put_if_absent", "put_if_same", "_remove", "sweep", "open_folder", "end_others", "end_claim")


class PowerCutError(BaseException):
    """The end of a process as code inside it would see it: no handler of errors counts on it."""


@dataclass
class Fuse:
    """Lets a number of writes to stores through and then none any more, as if the process had been killed."""

    blows_at: int
    after_the_write: bool
    writes: list[str] = field(default_factory=list)

    def guard(self, name: str, write: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(store: LocalStore, *arguments: Any, **named: Any) -> Any:
            self.writes.append(f"{name} {arguments[0] if arguments else ''}")
            if len(self.writes) > self.blows_at or (len(self.writes) == self.blows_at and not self.after_the_write):
                (Path(store.uri) / ".shardpack-tmp").mkdir(parents=True, exist_ok=True)
                (Path(store.uri) / ".shardpack-tmp/half-written").write_bytes(b"half")
                raise PowerCutError
            result = write(store, *arguments, **named)
            if len(self.writes) == self.blows_at:
                raise PowerCutError
            return result

        return guarded


@contextlib.contextmanager
def power_cut(blows_at: int, *, after_the_write: bool = False) -> Iterator[Fuse]:
    fuse = Fuse(blows_at, after_the_write)
    with pytest.MonkeyPatch.context() as patch:
        for name in WRITES:
            patch.setattr(LocalStore, name, fuse.guard(name, getattr(LocalStore, name)))
        with contextlib.suppress(PowerCutError):
            yield fuse


@pytest.fixture(scope="module")
def few_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("few"), 16)


@pytest.fixture(scope="module", params=FORMATS)
def reference(request: pytest.FixtureRequest, few_images: Path, tmp_path_factory: pytest.TempPathFactory):
    """A format, the digests of a data set in it, and every write that its run did."""
    dest = tmp_path_factory.mktemp("reference") / "out"
    with power_cut(10**9) as fuse:
        pack_small(few_images, dest, format=request.param, **SPLITS)
    return request.param, digests(dest), fuse.writes


@pytest.mark.parametrize("after_the_write", [False, True], ids=["before a write", "after a write"])
def test_cut_at_every_single_write(reference, few_images: Path, tmp_path: Path, after_the_write: bool) -> None:
    format_name, expected, writes = reference
    assert {write.split("/")[0] for write in writes} >= {"put manifest.json", "put_if_absent meta", "put train"}
    for number in range(1, len(writes) + 1):
        dest = tmp_path / str(number)
        with power_cut(number, after_the_write=after_the_write):
            pack_small(few_images, dest, format=format_name, **SPLITS)
            pytest.fail("nothing was cut")
        pack_small(few_images, dest, format=format_name, resume=True, **SPLITS)
        assert digests(dest) == expected, f"differs when cut at write {number}, {writes[number - 1]}"


def test_cut_again_and_again(reference, few_images: Path, tmp_path: Path) -> None:
    """Each attempt gets one write further than the one before it."""
    format_name, expected, writes = reference
    for attempt in range(1, len(writes) + 1):
        with power_cut(attempt):
            pack_small(few_images, tmp_path / "out", format=format_name, resume=True, **SPLITS)
            break
    assert attempt > 10
    assert digests(tmp_path / "out") == expected


def test_no_reader_sees_a_data_set_before_it_is_whole(reference, few_images: Path, tmp_path: Path) -> None:
    format_name, expected, writes = reference
    committed = writes.index("put manifest.json") + 1
    for number in (committed - 1, committed):
        dest = tmp_path / str(number)
        with power_cut(number, after_the_write=True):
            pack_small(few_images, dest, format=format_name, **SPLITS)
        present = {key: value for key, value in digests(dest).items() if key in expected}
        assert (dest / "manifest.json").exists() == (number == committed)
        assert present == {k: v for k, v in expected.items() if number == committed or k != "manifest.json"}


@pytest.mark.parametrize("after_the_write", [False, True], ids=["before a write", "after a write"])
def test_cut_while_a_data_set_is_replaced(few_images: Path, tmp_path: Path, after_the_write: bool) -> None:
    """--overwrite once more replaces it, wherever the first attempt was cut, and nothing of the old one is left."""
    pack_small(few_images, tmp_path / "new", **SPLITS)
    expected = digests(tmp_path / "new")
    number, cut = 0, True
    while cut:
        number += 3  # a third of the writes shows as much
        dest = tmp_path / str(number)
        pack_small(few_images, dest, gpus=1, format="recordio", split="train=0.5,val=0.3,test=0.2")
        with power_cut(number, after_the_write=after_the_write) as fuse:
            pack_small(few_images, dest, overwrite=True, **SPLITS)
        cut = len(fuse.writes) >= number
        has_manifest = (dest / "manifest.json").exists()
        if has_manifest and read_manifest(dest).format is FormatName.RECORDIO:  # the old one's is the first to go
            shards = [shard for split in read_manifest(dest).splits.values() for shard in split.shards]
            assert all(hashlib.sha256((dest / s.key).read_bytes()).hexdigest() == s.sha256 for s in shards)
        pack_small(few_images, dest, overwrite=True, **SPLITS)
        assert digests(dest) == expected, f"differs when cut at write {number}"
    assert number > 40


# --- real processes, killed for real ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("many"), 160)


def start(source: Path, dest: Path, *more: str) -> subprocess.Popen[str]:
    """Start packing as a process group of its own."""
    arguments = ("--gpus", 8, "--resize", 96, "--split", "train=0.8,val=0.2", "--workers", 2)
    return subprocess.Popen(
        command("pack", source, dest, *arguments, *more),
        cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors


@pytest.fixture(scope="module")
def undisturbed(many_images: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], float]:
    """The digests of the data set, and the seconds that its run took."""
    dest = tmp_path_factory.mktemp("undisturbed") / "out"
    started = time.monotonic()
    code, errors = finish(start(many_images, dest))
    assert code == 0, errors
    return digests(dest), time.monotonic() - started


def kill_group(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    finish(process)


@pytest.mark.slow
def test_killed_at_twenty_moments(many_images: Path, undisturbed, tmp_path: Path) -> None:
    expected, seconds = undisturbed
    moments = random.Random(20)
    num_killed = 0
    while num_killed < 20:
        dest = tmp_path / str(num_killed)
        process = start(many_images, dest)
        time.sleep(moments.uniform(0.3, 1.0) * seconds)
        kill_group(process)
        num_killed += process.returncode == -signal.SIGKILL
        code, errors = finish(start(many_images, dest, "--resume"))
        assert code == 0, errors
        assert digests(dest) == expected


@pytest.mark.slow
def test_one_run_that_is_killed_twenty_times(many_images: Path, undisturbed, tmp_path: Path) -> None:
    expected, seconds = undisturbed
    moments = random.Random(21)
    for _ in range(20):
        process = start(many_images, tmp_path / "out", "--resume")
        time.sleep(moments.uniform(0.1, 1.0) * seconds)
        kill_group(process)
    code, errors = finish(start(many_images, tmp_path / "out", "--resume"))
    assert code == 0, errors
    assert digests(tmp_path / "out") == expected


def wait_for(found: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not found():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)


MOMENTS = {
    "plan's items written": "meta/plan/*.parquet",
    "claimed": "meta/plan.json",
    "a shard written": "train/*",
    "a receipt written": "meta/receipts/*/*",
    "half of the receipts": "meta/receipts/*/train-00004*",
    "committing": "meta/labels.json",
}


@pytest.mark.parametrize("pattern", MOMENTS.values(), ids=MOMENTS.keys())
def test_killed_as_soon_as_something_is_there(many_images: Path, undisturbed, tmp_path: Path, pattern: str) -> None:
    dest = tmp_path / "out"
    process = start(many_images, dest)
    wait_for(lambda: list(dest.glob(pattern)), process)
    kill_group(process)
    code, errors = finish(start(many_images, dest, "--resume"))
    assert code == 0, errors
    assert digests(dest) == undisturbed[0]


@pytest.mark.parametrize("to_group", [True, False], ids=["ctrl-c at a terminal", "signal to the parent alone"])
@pytest.mark.parametrize("pattern", ["meta/plan.json", "meta/receipts/*/*"], ids=["claimed", "packing"])
def test_interrupted(many_images: Path, undisturbed, tmp_path: Path, pattern: str, to_group: bool) -> None:
    dest = tmp_path / "out"
    process = start(many_images, dest)
    wait_for(lambda: list(dest.glob(pattern)), process)
    started = time.monotonic()
    if to_group:
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGINT)
    code, errors = finish(process)
    assert time.monotonic() - started < 2
    assert (code, errors.count("\n")) == (130, 1), errors
    assert "--resume" in errors
    assert not [key for key in list_keys(dest) if "tmp" in key and not (dest / key).is_dir()]
    assert not (dest / "manifest.json").exists()
    code, errors = finish(start(many_images, dest, "--resume"))
    assert code == 0, errors
    assert digests(dest) == undisturbed[0]


def test_a_killed_parent_alone_takes_its_workers_along(many_images: Path, undisturbed, tmp_path: Path) -> None:
    """A run may be resumed at once, while workers of the killed one have not noticed yet."""
    dest = tmp_path / "out"
    process = start(many_images, dest)
    wait_for(lambda: list(dest.glob("meta/receipts/*/*")), process)
    process.kill()
    code, errors = finish(start(many_images, dest, "--resume"))
    assert code == 0, errors
    finish(process)
    assert digests(dest) == undisturbed[0]
