import numpy as np
import pyarrow as pa

from packer.options import parse_options
from packer.planning.order import hash_order
from packer.planning.plan import build_plan, order_items
from packer.planning.reordered import Reordered
from tests.planning.test_plan import ESTIMATE, items, request

TABLE = pa.table({"key": pa.array(list("abcde"), pa.large_string()), "size": [1, 2, 3, 4, 5]})


def test_rows_in_another_order() -> None:
    made = Reordered(TABLE, np.array([4, 0, 3]))
    assert (made.num_rows, made.column_names, made.schema) == (3, ["key", "size"], TABLE.schema)
    assert made.column("key").to_pylist() == ["e", "a", "d"]
    assert made.slice().to_pydict() == {"key": ["e", "a", "d"], "size": [5, 1, 4]}
    assert made.slice(1, 1).to_pydict() == {"key": ["a"], "size": [1]}
    assert made.slice(2, 9).num_rows == 1
    assert made.pick(np.array([2, 0])).column("size").to_pylist() == [4, 5]
    assert made.head(2).column("size").to_pylist() == [5, 1]


def test_steps_hold_every_row_once() -> None:
    num_rows = 150_000
    made = Reordered.of(pa.table({"n": np.arange(num_rows)})).pick(np.arange(num_rows)[::-1].copy())
    steps = [step.column("n").to_numpy() for step in made.iter_steps()]
    assert len(steps) == 3
    assert np.array_equal(np.concatenate(steps), np.arange(num_rows)[::-1])


def test_rows_of_many_chunks() -> None:
    made = Reordered.of(pa.concat_tables([TABLE.slice(0, 2), TABLE.slice(2)]))
    assert made.table.column("key").num_chunks == 1
    assert made.slice().equals(TABLE)


def test_a_plan_holds_its_items_once() -> None:
    """The same plan as of a table in hash order, over the memory of the table that was given."""
    table = items(500)
    options = parse_options({"source": "s", "dest": "d", "gpus": 2, "split": "train=0.8,val=0.2", "stratify": True})
    ordered = Reordered.of(table).pick(hash_order(table.column("key"), seed=0))
    plan = build_plan(ordered, ESTIMATE, request(options))
    assert plan.plan_id == build_plan(order_items(table, seed=0), ESTIMATE, request(options)).plan_id
    place = table.column("key").chunk(0).buffers()[2].address
    assert [part.table.column("key").chunk(0).buffers()[2].address for part in plan.tables] == [place, place]
