"""Channels of a training job: what holds for every data set and cluster, and what is refused."""

import re
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packer.channels.channel_names import InputMode
from packer.channels.channel_plan import ChannelPlan, Cluster, plan_channels
from packer.errors import DataSetError, OptionsError
from tests.tools.manifests import make_manifest

MODES = tuple(InputMode)
CLUSTERS = st.builds(
    Cluster, instances=st.integers(min_value=1, max_value=5), gpus_per_instance=st.integers(min_value=1, max_value=9)
)


def cluster(instances: int, gpus: int) -> Cluster:
    return Cluster(instances=instances, gpus_per_instance=gpus)


@given(CLUSTERS, st.integers(min_value=1, max_value=4), st.integers(min_value=1, max_value=3), st.sampled_from(MODES))
def test_each_rank_of_each_cluster_gets_as_many_shards_whatever_sagemaker_assigns(
    shape: Cluster, per_train: int, per_val: int, mode: InputMode
) -> None:
    manifest = make_manifest({"train": per_train * shape.world, "val": per_val * shape.world}, world=shape.world)
    plans = plan_channels(manifest, shape, mode=mode)
    for split, per_rank in (("train", per_train), ("val", per_val)):
        own = [plan for plan in plans if plan.split == split]
        keys = [key for plan in own for key in plan.keys]
        assert sorted(keys) == [shard.key for shard in manifest.splits[split].shards]
        assert {plan.name for plan in own} == names_of(split, mode, shape)
        if mode is InputMode.PIPE:  # the channel of one rank of each instance, cut into as many equal shares
            assert {len(plan.keys) for plan in own} == {per_rank * shape.instances}
            assert all(
                list(plan.keys) == keys_with_index(manifest, split, rank, shape) for rank, plan in enumerate(own)
            )
        assert all(len(plan.keys) % shape.instances == 0 for plan in own if plan.sharded)
        assert {plan.sharded for plan in own} == {mode in (InputMode.PIPE, InputMode.FILE)}
        assert all(bool(plan.manifest_key) == plan.sharded for plan in own)
        assert len({plan.manifest_key for plan in own}) == len(own)
        assert all(list(plan.keys) == sorted(plan.keys) for plan in own)


def names_of(split: str, mode: InputMode, shape: Cluster) -> set[str]:
    if mode is not InputMode.PIPE:
        return {split}
    return {f"{split}{rank}" for rank in range(shape.gpus_per_instance)}


def keys_with_index(manifest, split: str, rank: int, shape: Cluster) -> list[str]:
    shards = manifest.splits[split].shards
    return [shard.key for index, shard in enumerate(shards) if index % shape.gpus_per_instance == rank]


@given(CLUSTERS, st.integers(min_value=1, max_value=100), st.sampled_from(MODES))
def test_shards_fit_a_cluster_or_are_refused_with_the_reshard_that_would(
    shape: Cluster, num_shards: int, mode: InputMode
) -> None:
    manifest = make_manifest({"train": num_shards})
    if num_shards % shape.world == 0:
        plan_channels(manifest, shape, mode=mode)
        return
    remedy = f"reshard DEST NEW `instances={shape.instances}` `gpus_per_instance={shape.gpus_per_instance}`"
    problem = "at least one shard for each of" if num_shards < shape.world else "shards that divide by"
    with pytest.raises(OptionsError, match=f"split 'train': expected {problem} {shape.world} ranks .* {remedy}"):
        plan_channels(manifest, shape, mode=mode)


@pytest.mark.slow
@given(
    st.sets(st.from_regex(r"[a-z][a-z0-9-]{0,31}", fullmatch=True).filter(lambda name: name != "meta"), min_size=1,
            max_size=4),
    st.sampled_from(MODES),
)  # fmt: skip
def test_names_of_channels_break_nothing(splits: set[str], mode: InputMode) -> None:
    """Whatever splits are called, their channels are sound names or are refused."""
    manifest = make_manifest(dict.fromkeys(sorted(splits), 2))
    try:
        plans = plan_channels(manifest, cluster(1, 2), mode=mode)
    except OptionsError as error:
        assert str(error).startswith("channel ")
        return
    names = [plan.name for plan in plans]
    fifos = {f"{plan.name}_{epoch}" for plan in plans if plan.mode is InputMode.PIPE for epoch in range(3)}
    assert all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", name) for name in names)
    assert not fifos & set(names)
    assert all(first.upper() != second.upper() for first, second in combinations(names, 2))


def test_the_manifest_comes_last_on_every_instance() -> None:
    for mode in MODES:
        *_, meta = plan_channels(make_manifest({"train": 4}), cluster(2, 2), mode=mode)
        kind = InputMode.FILE_SYSTEM if mode is InputMode.FILE_SYSTEM else InputMode.FILE
        assert meta == ChannelPlan(name="meta", split="", mode=kind, sharded=False, keys=("manifest.json",))


def test_only_training_splits_are_shuffled() -> None:
    manifest = make_manifest({"train": 4, "train-aug": 4, "val": 4})
    for mode in (InputMode.PIPE, InputMode.FILE):
        plans = plan_channels(manifest, cluster(2, 2), mode=mode, shuffle_seed=7)
        assert {plan.split: plan.shuffle_seed for plan in plans} == {"train": 7, "train-aug": 7, "val": None, "": None}
    for mode in (InputMode.FAST_FILE, InputMode.FILE_SYSTEM):
        with pytest.raises(OptionsError, match=f"`shuffle_seed`: expected `mode=File` or Pipe, got {mode}"):
            plan_channels(manifest, cluster(2, 2), mode=mode, shuffle_seed=7)


def test_splits_that_are_named_and_no_others() -> None:
    manifest = make_manifest({"train": 4, "val": 4, "odd": 3})
    plans = plan_channels(manifest, cluster(2, 2), mode=InputMode.FILE, splits=("val",))
    assert [plan.name for plan in plans] == ["val", "meta"]
    with pytest.raises(DataSetError, match="split 'test' is not in the data set; expected one of odd, train, val"):
        plan_channels(manifest, cluster(2, 2), mode=InputMode.FILE, splits=("test",))


def test_more_channels_than_a_job_can_have() -> None:
    manifest = make_manifest({"train": 8, "val": 8, "test": 8})
    with pytest.raises(OptionsError, match=r"at most 20 in a job, got 25 .*`splits`, or use `mode=FastFile`"):
        plan_channels(manifest, cluster(1, 8), mode=InputMode.PIPE)
    assert len(plan_channels(manifest, cluster(1, 8), mode=InputMode.PIPE, splits=("train", "val"))) == 17


@pytest.mark.parametrize(("instances", "gpus", "name"), [(0, 1, "instances"), (1, 0, "gpus_per_instance")])
def test_clusters_without_ranks(instances: int, gpus: int, name: str) -> None:
    with pytest.raises(OptionsError, match=f"`{name}`: expected at least 1, got 0"):
        cluster(instances, gpus)
