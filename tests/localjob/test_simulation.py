"""Two thousand random jobs, without processes: whatever instances get, ranks read each record once and equally many.

The assignment is the stand-in's; which of an instance's shards a rank takes, and the steps, are what readers do. A few
of the jobs are also given to the readers as folders of empty files, which must then take the same shards.
"""

from __future__ import annotations

import itertools
import os
import random
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from packer.channels.assignment import keys_of_instance
from packer.channels.channel_names import InputMode
from packer.channels.channel_plan import ChannelPlan, Cluster, plan_channels
from packer.dataset.manifest import Manifest, SplitEntry
from packer.localjob.job_spec import Launch, LocalJob, list_hosts, list_ranks
from packer.localjob.tree import describe_instance
from packer.planning.rank_shards import shards_of_rank
from packer.reading.dataset import DataSet
from packer.reading.job_channels import ChannelSource, Place, find_channel
from packer.reading.read_spec import ReadSpec
from packer.reading.source import count_steps
from packer.stores.local_store import LocalStore
from tests.tools.manifests import make_manifest

JOBS_PER_MODE = 500
READ_PER_MODE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A job and the data set that it reads."""

    job: LocalJob
    manifest: Manifest
    plans: tuple[ChannelPlan, ...]
    reading_seed: int
    first_epoch: int
    batch_size: int


def draw_case(generator: random.Random, mode: InputMode) -> Case:
    cluster = Cluster(instances=generator.choice([1, 2, 3, 4, 11]), gpus_per_instance=generator.choice([1, 2, 3, 4]))
    shapes = {name: cluster.world * generator.randint(1, 3) for name in ("train", "val")}
    manifest = make_manifest(shapes, world=cluster.world)
    per_shard = generator.randint(1, 9)
    counts = {
        "train": [per_shard] * shapes["train"],
        "val": [per_shard + (generator.random() < 0.7) for _ in range(shapes["val"])],
    }
    splits = {name: with_counts(manifest.splits[name], own) for name, own in counts.items()}
    manifest = msgspec.structs.replace(manifest, splits=splits)
    is_shuffled = mode in (InputMode.FILE, InputMode.PIPE) and generator.random() < 0.5
    job = LocalJob(
        dest="x",
        cluster=cluster,
        mode=mode,
        command=("true",),
        shuffle_seed=generator.randint(-9, 9) if is_shuffled else None,
        assignment_seed=generator.randint(0, 99),
        launch=generator.choice(list(Launch)),
    )
    return Case(
        job=job,
        manifest=manifest,
        plans=plan_channels(manifest, cluster, mode=mode, shuffle_seed=job.shuffle_seed),
        reading_seed=generator.randint(0, 9),
        first_epoch=generator.randint(0, 5),
        batch_size=generator.randint(1, min(4, per_shard)),
    )


def with_counts(split: SplitEntry, counts: list[int]) -> SplitEntry:
    shards = tuple(
        msgspec.structs.replace(shard, num_records=count, num_bytes=0)
        for shard, count in zip(split.shards, counts, strict=True)
    )
    return msgspec.structs.replace(split, num_records=sum(counts), shards=shards)


def assigned(case: Case, plan: ChannelPlan, position: int, epoch: int) -> tuple[str, ...]:
    instances = case.job.cluster.instances
    return keys_of_instance(plan, position, instances=instances, seed=case.job.assignment_seed, epoch=epoch)


def open_sources(case: Case, base: Path) -> list[ChannelSource]:
    """Return each rank's view of the job, with folders of empty files."""
    trees = [describe_instance(case.job, host, case.plans, base=str(base)) for host in list_hosts(case.job)]
    for plan, (position, tree) in itertools.product(case.plans, enumerate(trees)):
        if plan.split and plan.mode is not InputMode.PIPE:
            os.makedirs(tree.folder(plan.name))
            for key in assigned(case, plan, position, epoch=0):
                Path(tree.folder(plan.name), key.rpartition("/")[2]).touch()
    by_host = {tree.resources.current_host: tree for tree in trees}
    local_size, world = case.job.cluster.gpus_per_instance, case.job.cluster.world
    return [
        ChannelSource(
            by_host[rank.host],
            case.manifest,
            Place(rank=rank.rank, world=world, local_rank=rank.local_rank, local_size=local_size),
        )
        for rank in list_ranks(case.job)
    ]


def dealt(case: Case, split: str, rank: int, epoch: int) -> list[str]:
    """Return the shards that a rank takes of what its instance gets."""
    cluster = case.job.cluster
    position, local_rank = divmod(rank, cluster.gpus_per_instance)
    plans = [plan for plan in case.plans if plan.split == split]
    if case.job.mode is InputMode.PIPE:
        files = describe_instance(case.job, list_hosts(case.job)[position], case.plans, base="")
        place = Place(local_rank=local_rank, local_size=cluster.gpus_per_instance)
        name = find_channel(files, case.manifest, split, place)
        (plan,) = (plan for plan in plans if plan.name == name)
        return list(assigned(case, plan, position, epoch))
    (plan,) = plans
    present = sorted(assigned(case, plan, position, epoch=0))
    if plan.sharded:
        own = shards_of_rank(len(present), rank=local_rank, world=cluster.gpus_per_instance)
    else:
        own = shards_of_rank(len(present), rank=rank, world=cluster.world)
    return [present[index] for index in own]


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(InputMode))
def test_every_record_is_read_once_and_every_rank_reads_as_many(mode: InputMode) -> None:
    generator = random.Random(f"{mode}")
    for _ in range(JOBS_PER_MODE):
        case = draw_case(generator, mode)
        for split, epoch in itertools.product(("train", "val"), (case.first_epoch, case.first_epoch + 1)):
            by_rank = [dealt(case, split, rank, epoch) for rank in range(case.job.cluster.world)]
            check_reads(case, split, by_rank)


def check_reads(case: Case, split: str, by_rank: list[list[str]]) -> None:
    """Check that ranks read each record once, as many each in training, and within the steps in evaluation."""
    records = {shard.key: shard.num_records for shard in case.manifest.splits[split].shards}
    assert sorted(itertools.chain(*by_rank)) == sorted(records), case.job
    totals = [sum(records[key] for key in keys) for keys in by_rank]
    source = DataSet("x", case.manifest, LocalStore("x"))
    steps = count_steps(source, split, world=len(by_rank), batch_size=case.batch_size)
    if split == "train":
        assert set(totals) == {totals[0]}, case.job
        assert steps == totals[0] // case.batch_size
    else:
        assert max(totals) <= steps * case.batch_size, case.job


@pytest.mark.parametrize("mode", [mode for mode in InputMode if mode is not InputMode.PIPE])
def test_readers_take_those_shards(tmp_path: Path, mode: InputMode) -> None:
    generator = random.Random(f"read {mode}")
    cases = (draw_case(generator, mode) for _ in itertools.count())
    small = itertools.islice((case for case in cases if case.job.cluster.world < 9), READ_PER_MODE)
    for number, case in enumerate(small):
        for rank, source in enumerate(open_sources(case, tmp_path / str(number))):
            spec = ReadSpec(rank=rank, world=case.job.cluster.world, seed=case.reading_seed)
            for split in ("train", "val"):
                files = source.files(split, spec, epoch=case.first_epoch)
                assert files is not None
                read = [file.entry.key for file in files]
                assert sorted(read) == dealt(case, split, rank, case.first_epoch)


@pytest.mark.parametrize("wrong", ["a shard that another rank has", "no shard in its place"])
def test_the_check_sees_a_wrong_deal(wrong: str) -> None:
    generator = random.Random(0)
    cases = (draw_case(generator, InputMode.PIPE) for _ in itertools.count())
    case = next(case for case in cases if case.job.cluster.instances > 1)
    by_rank = [dealt(case, "train", rank, case.first_epoch) for rank in range(case.job.cluster.world)]
    check_reads(case, "train", by_rank)
    by_rank[0][:1] = by_rank[-1][:1] if wrong == "a shard that another rank has" else []
    with pytest.raises(AssertionError):
        check_reads(case, "train", by_rank)
