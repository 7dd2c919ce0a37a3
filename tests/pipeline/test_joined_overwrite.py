"""An `overwrite=True` that is stopped before each step of its clearing, while another run goes on with its plan.

That one makes the whole data set meanwhile, and then both end well; or the first one was killed there.
"""

import functools
import hashlib
import itertools
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from packer import pipeline
from packer.dataset import destination
from packer.dataset.load import load_manifest
from packer.dataset.shardcheck import manifest_shards
from packer.options import PackOptions
from packer.pipeline import pack
from packer.planning.layout import SAGEMAKER_PREFIX
from packer.prepare import make_plan
from packer.stores.fsspec_store import RemoteStore
from packer.stores.open_store import open_store
from packer.stores.s3 import S3Store
from packer.stores.store import Store
from tests.tools.datasets import DIFFERS_BY_RUN, SerialEngine, make_options, serial_run, write_images

pytestmark = pytest.mark.slow

STEPS: dict[str, list[tuple[Any, str]]] = {
    "a disk": [(os, name) for name in ("rename", "scandir")],
    "memory": [(RemoteStore, "_call")],
    "a bucket": [(S3Store, "_call")],
}
"""Calls before which the run that clears may sleep, by the kind of place."""
NEW: dict[str, object] = {"seed": 0}
OLD: dict[str, dict[str, object]] = {
    "another plan": {"seed": 1},
    "another container": {"seed": 1, "format": "recordio", "split": "train=0.5,val=0.5"},
    "the same plan": NEW,
}


@dataclass
class Sleep:
    """Lets `event` happen before one of the steps that are made while a place is cleared."""

    before_step: int
    event: Callable[[], object]
    is_clearing: bool = False
    num_steps: int = field(default=0)

    def step(self) -> None:
        if self.is_clearing:
            self.num_steps += 1
            if self.num_steps == self.before_step:
                self.is_clearing = False
                self.event()
                self.is_clearing = True


@contextmanager
def sleeping(sleep: Sleep, steps: list[tuple[Any, str]], patch: pytest.MonkeyPatch) -> Iterator[None]:
    def stepped(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            sleep.step()
            return function(*arguments, **named)

        return call

    clear = destination.clear

    def watched(*arguments: Any) -> None:
        sleep.is_clearing = True
        try:
            clear(*arguments)
        finally:
            sleep.is_clearing = False

    with patch.context() as own:
        own.setattr(destination, "clear", watched)
        for owner, name in steps:
            own.setattr(owner, name, stepped(getattr(owner, name)))
        yield


@dataclass(frozen=True)
class Setting:
    kind: str
    images: Path
    folder: Path
    options: dict[str, object]
    base: str

    def new_place(self) -> str:
        return f"{self.base}/{uuid.uuid4().hex}"

    def options_of(self, dest: str, **given: object) -> PackOptions:
        return make_options(self.images, dest, **{"gpus": 2, "resize": "8", **self.options, **given})

    def pack(self, dest: str, **given: object) -> None:
        pack(self.options_of(dest, **given), engine=SerialEngine())

    def open(self, dest: str) -> Store:
        return open_store(dest, self.options_of(dest).dest_store())


@pytest.fixture(scope="module")
def few_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("few"), 8)


def setting_of(kind: str, images: Path, folder: Path, patch: pytest.MonkeyPatch, **given: Any) -> Setting:
    base = given.pop("base")
    setting = Setting(kind, images, folder, given, base)
    make = functools.cache(
        lambda seed, format, split: make_plan(
            serial_run(setting.options_of(str(folder / "any"), seed=seed, format=format, split=split))
        )
    )
    patch.setattr(pipeline, "make_plan", lambda run, _: make(run.options.seed, run.options.format, run.options.split))
    patch.setattr(os, "fsync", lambda descriptor: None)  # nothing here is about power
    return setting


@pytest.fixture(params=["a disk", "memory"])
def setting(request: pytest.FixtureRequest, few_images: Path, tmp_path: Path, monkeypatch) -> Setting:
    base = str(tmp_path) if request.param == "a disk" else "memory://joined"
    return setting_of(request.param, few_images, tmp_path, monkeypatch, base=base)


def contents(place: Store) -> dict[str, str]:
    keys = sorted(info.key for info in place.list() if info.key not in DIFFERS_BY_RUN)
    keys = [key for key in keys if not key.startswith(SAGEMAKER_PREFIX)]  # these name the place
    return {key: hashlib.sha256(place.get(key)).hexdigest() for key in keys}


def check_whole(place: Store) -> None:
    """All that a manifest names, if there is one, is there."""
    manifest = load_manifest(place, missing_ok=True)
    for _, entry in manifest_shards(manifest) if manifest is not None else ():
        assert hashlib.sha256(place.get(entry.key)).hexdigest() == entry.sha256, entry.key


class Killed(BaseException):
    """Ends a run, whatever it tries."""


class StopEngine(SerialEngine):
    """Is killed after the first shard."""

    def run(self, function, context, tasks, tick):
        yield from super().run(function, context, tasks[:1], tick)
        raise Killed


def leave(setting: Setting, dest: str, what: str) -> None:
    """Put what is to be overwritten."""
    if what == "an unfinished run of the same plan":
        with pytest.raises(Killed):
            pack(setting.options_of(dest, **NEW), engine=StopEngine())
        return
    setting.pack(dest, **OLD[what])
    if what == "the same plan":
        return
    setting.open(dest).put("croissant.json", [b"of the old one"])
    setting.open(dest).put("meta/duplicates.parquet", [b"of the old one"])


def check_all_moments(setting: Setting, what: str, patch: pytest.MonkeyPatch, *, is_killed: bool = False) -> int:
    """Return how many moments there are."""
    alone = setting.new_place()
    setting.pack(alone, **NEW)
    expected = contents(setting.open(alone))
    for moment in itertools.count(1):
        dest = setting.new_place()
        place = setting.open(dest)
        leave(setting, dest, what)

        def go_on() -> None:
            setting.pack(dest, **NEW, resume=True)  # noqa: B023
            check_whole(place)  # noqa: B023

        def end() -> None:
            raise Killed

        sleep = Sleep(moment, end if is_killed else go_on)
        with sleeping(sleep, STEPS[setting.kind], patch), suppress(Killed):
            setting.pack(dest, **NEW, overwrite=True)
        check_whole(place)
        if is_killed:
            go_on()
        assert contents(place) == expected, moment
        if setting.kind == "a disk":
            shutil.rmtree(dest)
        if sleep.num_steps < moment:
            return moment - 1
    raise AssertionError


@pytest.mark.parametrize(
    ("what", "is_killed"),
    [
        *(("another plan", False), ("the same plan", False), ("an unfinished run of the same plan", False)),
        *(("another container", True), ("an unfinished run of the same plan", True)),
    ],
)
def test_at_every_moment_of_the_clearing(setting: Setting, what: str, is_killed: bool, monkeypatch) -> None:
    num_moments = check_all_moments(setting, what, monkeypatch, is_killed=is_killed)
    assert num_moments >= (2 if what.startswith("an unfinished") else 5)


def test_in_a_bucket(s3_endpoint: str, s3_bucket: str, few_images: Path, tmp_path: Path, monkeypatch) -> None:
    setting = setting_of(
        "a bucket", few_images, tmp_path, monkeypatch, base=f"s3://{s3_bucket}", endpoint_url=s3_endpoint
    )
    assert check_all_moments(setting, "another plan", monkeypatch) >= 5
