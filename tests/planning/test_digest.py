import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from packer.planning.digest import table_digest

VALUES = {
    "key": pa.array(["a", "bc", "", None], pa.large_string()),
    "size": pa.array([1, 2, None, -4], pa.int64()),
    "score": pa.array([0.5, None, float("inf"), -0.0], pa.float64()),
    "vector": pa.array([[1.0, 2.0], [], None, [3.0]], pa.large_list(pa.float32())),
    "tags": pa.array([["x"], ["", "yz"], [], None], pa.list_(pa.string())),
    "digest": pa.array([b"12", b"34", b"56", b"78"], pa.binary(2)),
    "flag": pa.array([True, False, None, False]),
}
GOLDEN = "dc5d0a91b4d18232c158bf336421903b10381f37686520ae02e1fae36699944f"


def test_golden() -> None:
    """Plan ids and manifests contain it: a change here would make every resumed run start anew."""
    assert table_digest(pa.table(VALUES)) == GOLDEN


def test_survives_parquet_and_chunking(tmp_path) -> None:
    table = pa.table(VALUES)
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=1)
    assert table_digest(pq.read_table(tmp_path / "t.parquet")) == table_digest(table)
    assert table_digest(pa.concat_tables([table.slice(0, 1), table.slice(1, 2), table.slice(3)])) == table_digest(table)


@pytest.mark.parametrize("name", sorted(VALUES))
def test_every_value_counts(name: str) -> None:
    table = pa.table(VALUES)
    rows = [0, 1, 2, 3]
    for row in rows:
        other = list(rows)
        other[row] = (row + 1) % 4
        column = table.column(name).take(pa.array(other))
        changed = table.set_column(table.column_names.index(name), name, column)
        assert table_digest(changed) != table_digest(table)


def test_boundaries_of_texts_count() -> None:
    assert table_digest(pa.table({"a": ["ab", "c"]})) != table_digest(pa.table({"a": ["a", "bc"]}))
    assert table_digest(pa.table({"a": ["x"]})) != table_digest(pa.table({"b": ["x"]}))
    assert table_digest(pa.table({"a": [["x"], []]})) != table_digest(pa.table({"a": [[], ["x"]]}))


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), max_size=20), st.integers(0, 20))
def test_slices_equal_copies(texts: list[str], start: int) -> None:
    array = pa.array(texts, pa.large_string())
    assert table_digest(pa.table({"t": array.slice(start)})) == table_digest(
        pa.table({"t": pa.array(texts[start:], pa.string())})
    )
