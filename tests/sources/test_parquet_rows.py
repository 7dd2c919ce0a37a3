"""Many rows that are alike in a small Parquet file are refused before they fill the memory."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from packer.errors import SourceError
from packer.sources import parquet_rows
from packer.sources.parquet_rows import read_rows, tells_rows_apart
from tests.tools.limited_run import refuse


def write_alike(path: Path, num_rows: int, *, is_dictionary: bool) -> Path:
    """Write rows of one path and one label in row groups of a million."""
    rows = min(num_rows, 1_000_000)
    paths = pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), rows), pa.array(["a.jpg"]))
    table = pa.table({"path": paths if is_dictionary else paths.cast(pa.string()), "label": pa.repeat(1, rows)})
    with pq.ParquetWriter(path, table.schema, compression="zstd") as writer:
        for _ in range(num_rows // rows):
            writer.write_table(table)
    return path


@pytest.mark.parametrize("is_dictionary", [True, False])
def test_rows_that_are_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_dictionary: bool) -> None:
    monkeypatch.setattr(parquet_rows, "_MAX_ROWS_AT_ONCE", 1000)
    path = write_alike(tmp_path / "l.parquet", 2000, is_dictionary=is_dictionary)
    with pytest.raises(SourceError, match=r"rows 1 to 2,000 have no column of text"):
        read_rows(str(path), None)


def test_rows_that_become_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_rows, "_MAX_ROWS_AT_ONCE", 1000)
    monkeypatch.setattr(parquet_rows, "BATCH_ROWS", 500)
    texts = [f"{index}.jpg" for index in range(1000)] + ["a.jpg"] * 1000
    pq.write_table(pa.table({"path": texts}), tmp_path / "l.parquet")
    with pytest.raises(SourceError, match=r"rows 1,001 to 1,500 have"):
        read_rows(str(tmp_path / "l.parquet"), None)


def test_many_rows_that_differ_are_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_rows, "BATCH_ROWS", 300)
    table = pa.table({"path": [f"{index}.jpg" for index in range(2000)], "x": [1] * 2000, "y": [[1.5]] * 2000})
    pq.write_table(table, tmp_path / "l.parquet")
    whole = read_rows(str(tmp_path / "l.parquet"), None)
    monkeypatch.setattr(parquet_rows, "_MAX_ROWS_AT_ONCE", 1000)
    assert read_rows(str(tmp_path / "l.parquet"), None) == whole == table
    assert read_rows(str(tmp_path / "l.parquet"), ["path"]) == table.select(["path"])


def test_what_tells_rows_apart() -> None:
    assert tells_rows_apart(pa.array(["a", "b", "a", None]))
    assert not tells_rows_apart(pa.array(["a", "a", "a"]))
    assert not tells_rows_apart(pa.nulls(5, pa.string()))


@pytest.mark.slow
@pytest.mark.parametrize("is_dictionary", [True, False])
def test_fifty_million_rows_in_a_small_file(tmp_path: Path, is_dictionary: bool) -> None:
    path = write_alike(tmp_path / "l.parquet", 50_000_000, is_dictionary=is_dictionary)
    assert path.stat().st_size < 1_000_000
    assert "rows 1 to 65,536 have no column of text" in refuse("plan", path, "--gpus", "1")
