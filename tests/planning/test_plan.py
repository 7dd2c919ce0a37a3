import random

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packer.errors import OptionsError
from packer.options import PackOptions, parse_options
from packer.planning.plan import Plan, PlanRequest, build_plan, order_items
from packer.planning.shard_count import SizeEstimate

GOLDEN = "d374593c83be57fa1463cc555129fbad9fdbdb8c0f1f11c2058e380071657858"
ESTIMATE = SizeEstimate(mean_bytes=30_000, spread_bytes=10_000, num_probed=32)


def items(num_items: int, num_classes: int = 5) -> pa.Table:
    return pa.table(
        {
            "key": pa.array([f"class{n % num_classes}/{n:05d}.jpg" for n in range(num_items)], pa.large_string()),
            "num_bytes": pa.array([1000 + n for n in range(num_items)], pa.int64()),
            "label": pa.array([n % num_classes for n in range(num_items)], pa.int64()),
            "patient": pa.array([f"p{n // 3}" for n in range(num_items)], pa.large_string()),
        }
    )


def request(options: PackOptions, *, label_kind: str = "class") -> PlanRequest:
    return PlanRequest(
        format=options.format,
        image=options.image_spec(),
        encoder_sha256="0" * 64,
        seed=options.seed,
        sharding=options.shard_spec(),
        splits=options.splits(),
        split_column=options.split_column,
        group_column=options.group_column,
        label_kind=label_kind,
        class_names=(),
    )


def plan(table: pa.Table, **values: object) -> Plan:
    options = parse_options({"source": "s", "dest": "d", **values})
    return build_plan(order_items(table, seed=options.seed), ESTIMATE, request(options))


def test_every_item_is_in_one_place() -> None:
    made = plan(items(1000), gpus=4, split="train=0.9,val=0.1")
    keys = [key for table in made.tables for key in table.column("key").to_pylist()]
    assert sorted(keys) == sorted(items(1000).column("key").to_pylist())
    assert [split.num_items for split in made.header.splits] == [900, 100]
    assert [split.num_shards for split in made.header.splits] == [4, 4]


@settings(max_examples=20)
@given(st.integers(40, 400), st.integers(1, 4), st.randoms(), st.booleans())
def test_a_plan_does_not_depend_on_the_order_of_the_listing(n: int, gpus: int, rng: random.Random, even: bool) -> None:
    table = items(n)
    rows = list(range(n))
    rng.shuffle(rows)
    options = {"gpus": gpus, "split": "train=0.75,val=0.25", "stratify": even, "allow_fill": True}
    first, second = plan(table, **options), plan(table.take(pa.array(rows)), **options)
    assert first.header == second.header
    assert [t.slice().to_pydict() for t in first.tables] == [t.slice().to_pydict() for t in second.tables]


def test_rows_of_a_shard_are_in_hash_order() -> None:
    table = items(300)
    made = plan(table, gpus=3, stratify=True, split="train=1", seed=9)
    ordered = order_items(table, seed=9).column("key").to_pylist()
    place = {key: index for index, key in enumerate(ordered)}
    for shard in range(made.header.splits[0].num_shards):
        train = made.tables[0].slice()
        keys = train.filter(pc.equal(train.column("shard"), shard)).column("key").to_pylist()
        assert [place[key] for key in keys] == sorted(place[key] for key in keys)


def test_tasks_number_the_shards_of_all_splits() -> None:
    header = plan(items(1000), gpus=4, split="train=0.9,val=0.1").header
    assert header.num_tasks == 8
    assert [(header.locate(task)[0].name, header.locate(task)[1]) for task in (0, 3, 4, 7)] == [
        ("train", 0),
        ("train", 3),
        ("val", 0),
        ("val", 3),
    ]
    with pytest.raises(IndexError):
        header.locate(8)


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 1},
        {"quality": 90},
        {"resize": "128"},
        {"format": "recordio"},
        {"gpus": 2},
        {"split": "train=0.8,val=0.2"},
        {"stratify": True},
        {"group_column": "patient"},
    ],
)
def test_whatever_changes_the_bytes_changes_the_plan_id(changed: dict[str, object]) -> None:
    base = {"gpus": 1, "split": "train=0.9,val=0.1"}
    assert plan(items(200), **base).plan_id != plan(items(200), **{**base, **changed}).plan_id


def test_whatever_does_not_change_the_bytes_leaves_the_plan_id() -> None:
    other = {"source": "elsewhere", "dest": "there", "workers": 7, "max_rejects": 0.5, "engine": "spark"}
    assert plan(items(200)).plan_id == plan(items(200), **other).plan_id


def test_groups_are_kept_in_one_split() -> None:
    made = plan(items(300), split="train=0.8,val=0.2", group_column="patient", allow_fill=True)
    train, val = (set(table.column("patient").to_pylist()) for table in made.tables)
    assert not train & val


@pytest.mark.parametrize(
    ("values", "label_kind", "message"),
    [
        ({"group_column": "nobody"}, "class", "`group_column`: expected a column of the source"),
        ({"stratify": True}, "floats", "`stratify`: expected class labels"),
        ({"gpus": 512}, "class", "100 items for 512 shards"),
    ],
)
def test_refusals(values: dict[str, object], label_kind: str, message: str) -> None:
    options = parse_options({"source": "s", "dest": "d", **values})
    with pytest.raises(OptionsError, match=message):
        build_plan(order_items(items(100), seed=0), ESTIMATE, request(options, label_kind=label_kind))


@pytest.mark.parametrize("option", ["group_column", "split_column"])
def test_a_column_of_lists_names_no_groups_and_no_splits(option: str) -> None:
    table = items(100).append_column("boxes", pa.array([[n, n] for n in range(100)], pa.large_list(pa.int64())))
    with pytest.raises(
        OptionsError, match=rf"`{option}`: expected a column .*, got 'boxes' of type large_list<.*int64.*>"
    ):
        plan(table, **{option: "boxes"})


def test_names_of_splits_may_be_bytes_in_utf8() -> None:
    named = [b"train", b"val"] * 50
    table = items(100).append_column("subset", pa.array(named, pa.large_binary()))
    assert [split.num_items for split in plan(table, split_column="subset").header.splits] == [50, 50]
    named[7] = b"\xff"
    table = items(100).append_column("subset", pa.array(named, pa.large_binary()))
    with pytest.raises(OptionsError, match=r"`split_column`: .* text in UTF-8, got 'subset' of type large_binary"):
        plan(table, split_column="subset")
    assert plan(table, group_column="subset").header.num_tasks == 1


@pytest.mark.parametrize("kind", [pa.int64(), pa.float64(), pa.large_string()])
def test_groups_of_any_single_values_even_none(kind: pa.DataType) -> None:
    values = pa.array([None if n % 10 == 0 else n // 3 for n in range(300)], pa.int64()).cast(kind)
    made = plan(items(300).append_column("g", values), split="train=0.8,val=0.2", group_column="g", allow_fill=True)
    train, val = (set(table.column("g").to_pylist()) for table in made.tables)
    assert not train & val


def test_golden_plan_id() -> None:
    """Every resumed run and every part of a divided one relies on it: a change here needs a new PLAN_VERSION."""
    assert plan(items(200), gpus=2).plan_id == GOLDEN
