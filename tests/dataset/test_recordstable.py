"""Tables of records are read whole, and nothing holds on to their bytes afterwards."""

import pyarrow as pa
import pytest

from packer.dataset.recordstable import decode_records, encode_records
from packer.errors import DataSetError


def make_table(num_rows: int) -> pa.Table:
    columns = {f"column{index}": list(range(num_rows)) for index in range(12)}
    return pa.table({**columns, "num_bytes": [7] * num_rows})


def test_no_thread_holds_the_bytes_once_a_table_is_read() -> None:
    """A thread that lets go of Python's bytes later would need the interpreter, which may be ending by then."""
    data = encode_records(make_table(5_000))
    for _ in range(100):
        view = memoryview(bytearray(data))
        table = decode_records(view, name="t")
        view.release()  # BufferError where something still holds it
        assert table.num_rows == 5_000


def test_some_columns_come_in_the_order_that_was_asked_for() -> None:
    data = encode_records(make_table(3))
    assert decode_records(data, name="t", columns=("num_bytes", "column2")).column_names == ["num_bytes", "column2"]
    with pytest.raises(DataSetError, match="t: the table of records cannot be read"):
        decode_records(data, name="t", columns=("none",))
