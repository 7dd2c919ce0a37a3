"""Runs that share a place, interleaved step by step as chance says: none harms what another has finished.

See tests/tools/stepped_runs.py for what a step is.
"""

import functools
import hashlib
import os
import re
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from packer import pipeline
from packer.dataset.load import load_manifest
from packer.dataset.planfile import find_claim, load_plan
from packer.dataset.shardcheck import manifest_shards
from packer.errors import ClaimLostError, DataSetError, DestinationTakenError, NotADataSetError, OptionsError
from packer.options import PackOptions
from packer.packing import shard
from packer.pipeline import commit_parts, pack
from packer.prepare import make_plan
from packer.stores.local_store import LocalStore
from packer.stores.store import Store
from tests.endurance.conftest import rounds
from tests.tools.datasets import DIFFERS_BY_RUN, SerialEngine, make_options, serial_run, write_images
from tests.tools.stepped_runs import SteppedBucket, SteppedRun, step_on_disk

pytestmark = pytest.mark.slow

SEEDS = (0, 1)
WAYS: dict[str, dict[str, object]] = {
    "new": {},
    "resume": {"resume": True},
    "overwrite": {"overwrite": True},
    "first part": {"part": "0/2"},
    "second part": {"part": "1/2"},
}
REFUSALS = (
    (ClaimLostError, "another run took it over meanwhile"),
    (DestinationTakenError, "holds (a finished data set|an unfinished run)"),
    (OptionsError, "expected . as in the run to be resumed"),
    (NotADataSetError, "expected the shards of pack .*, but there is no plan"),
    (DataSetError, "has no receipt|shards? (is|are) not packed|expected it as it was written"),
)
"""What a run may end with that is not alone."""
MAX_RUNS = 4


@dataclass(frozen=True)
class Setting:
    """Where the runs are, and what they make."""

    images: Path
    folder: Path | None
    """Where places are made; None: in memory."""

    def new_place(self) -> str:
        name = uuid.uuid4().hex
        return f"memory://{name}" if self.folder is None else str(self.folder / name)

    def run(self, dest: str, seed: int, way: str) -> object:
        if way == "commit":
            return commit_parts(dest)
        return pack(options_of(self.images, dest, seed, way), engine=SerialEngine())


def options_of(images: Path, dest: Any, seed: int, way: str) -> PackOptions:
    return make_options(images, dest, **{"gpus": 2, "resize": "8", "seed": seed, **WAYS[way]})


def open_place(uri: str, *_: object) -> Store:
    return SteppedBucket(uri) if uri.startswith("memory://") else LocalStore(uri)


@pytest.fixture(scope="module")
def few_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("few"), 8)


@pytest.fixture(params=["a disk", "a bucket"])
def setting(
    request: pytest.FixtureRequest, few_images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Setting:
    plans = {seed: make_plan(serial_run(options_of(few_images, str(tmp_path), seed, "new"))) for seed in SEEDS}
    monkeypatch.setattr(pipeline, "make_plan", lambda run, _: plans[run.options.seed])
    for module in (pipeline, shard):
        monkeypatch.setattr(module, "open_store", open_place)
    if request.param == "a disk":
        step_on_disk(monkeypatch)
        monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # nothing here is about power
        return Setting(few_images, tmp_path)
    return Setting(few_images, None)


def contents(place: Store) -> dict[str, str]:
    """Return digests of what lies there."""
    keys = sorted(info.key for info in place.list() if info.key not in DIFFERS_BY_RUN)
    return {key: hashlib.sha256(place.get(key)).hexdigest() for key in keys}


@dataclass(frozen=True)
class Alone:
    """What runs do that nobody disturbs."""

    contents: dict[int, dict[str, str]]
    """Digests of all that they leave, by the seed of their plan."""
    num_steps: int


def run_alone(setting: Setting) -> Alone:
    found, num_steps = {}, 0
    for seed in SEEDS:
        dest = setting.new_place()
        run = SteppedRun("alone", functools.partial(setting.run, dest, seed, "new"))
        while not run.is_done:
            run.advance(1)
            num_steps += 1
        assert run.error is None
        found[seed] = contents(open_place(dest))
    return Alone(found, num_steps // len(SEEDS))


class SharedPlace(RuleBasedStateMachine):
    """Some runs of two plans that all go to one place."""

    def __init__(self, setting: Setting, alone: Alone) -> None:
        super().__init__()
        self.setting = setting
        self.expected = alone.contents
        self.num_steps = alone.num_steps
        self.dest = setting.new_place()
        self.place = open_place(self.dest)
        self.runs: list[SteppedRun] = []

    @rule(seed=st.sampled_from(SEEDS), way=st.sampled_from([*WAYS, "commit"]), percent=st.integers(0, 200))
    def start(self, seed: int, way: str, percent: int) -> None:
        if len(self.runs) < MAX_RUNS:
            self.runs.append(SteppedRun(f"{way} of plan {seed}", lambda: self.setting.run(self.dest, seed, way)))
            self.go_on(len(self.runs) - 1, percent)

    @rule(which=st.integers(0, MAX_RUNS - 1), percent=st.integers(0, 200))
    def go_on(self, which: int, percent: int) -> None:
        """Wake a run that sleeps for some of the steps of a whole run, one at least; from 100 on to its end."""
        if which < len(self.runs):
            self.runs[which].advance(1 + percent * self.num_steps // 100 if percent < 100 else None)
            self.take_ended()

    @rule(which=st.integers(0, MAX_RUNS - 1))
    def kill(self, which: int) -> None:
        if which < len(self.runs):
            self.runs.pop(which).kill()

    def take_ended(self) -> None:
        for run in [run for run in self.runs if run.is_done]:
            self.runs.remove(run)
            is_refused = any(isinstance(run.error, kind) and re.search(text, str(run.error)) for kind, text in REFUSALS)
            if run.error is not None and not is_refused:
                raise AssertionError(f"{run.name} failed: {run.error!r}") from run.error

    @invariant()
    def what_is_finished_is_whole(self) -> None:
        manifest = load_manifest(self.place, missing_ok=True)
        for _, entry in manifest_shards(manifest) if manifest is not None else ():
            assert hashlib.sha256(self.place.get(entry.key)).hexdigest() == entry.sha256, entry.key

    def teardown(self) -> None:
        """All that sleep wake, and then a run goes on with what there is, to the bytes of one that is alone."""
        try:
            while self.runs:
                self.go_on(0, 100)
                self.what_is_finished_is_whole()
            document = load_plan(self.place) if find_claim(self.place) else None
            seed = next((seed for seed in SEEDS if document and document.header.seed == seed), SEEDS[0])
            self.setting.run(self.dest, seed, "resume")
            found = contents(self.place)
            assert found == self.expected[seed]
        finally:
            for run in self.runs:
                run.kill()
            if self.setting.folder is not None:
                shutil.rmtree(self.dest, ignore_errors=True)


def test_runs_that_share_a_place(setting: Setting) -> None:
    alone = run_alone(setting)

    def machine() -> Any:
        return SharedPlace(setting, alone)

    run_state_machine_as_test(
        cast("Any", machine),
        settings=settings(
            max_examples=len(rounds(15, 1000)),
            stateful_step_count=12,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
