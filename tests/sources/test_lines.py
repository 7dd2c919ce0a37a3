"""Lines of listings that have no end, and quotes that are not closed: named, and never held in memory."""

import gzip
import io
from pathlib import Path

import pytest

from packer.sources import lines
from packer.sources.lines import LineFault, find_csv_fault, find_json_fault, find_row_lines, iter_lines
from tests.sources.listings import failure
from tests.tools.limited_run import refuse

HUGE_BYTES = 60_000_000


def test_lines_up_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 5)
    assert list(iter_lines(io.BytesIO(b"abcd\n\nab"))) == [b"abcd\n", b"\n", b"ab"]
    with pytest.raises(LineFault, match="line 2: expected at most 5 bytes"):
        list(iter_lines(io.BytesIO(b"abcd\nabcdef\n")))


def test_no_more_is_read_of_a_line_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 100)
    stream = io.BytesIO(b"x" * 10_000)
    with pytest.raises(LineFault):
        list(iter_lines(stream))
    assert stream.tell() < 200


def test_an_open_quote_is_found_where_it_opens(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.write_bytes(b'path,label\na.jpg,1\n"b.jpg,1\n' + b"c.jpg,2\n" * 50_000)
    assert find_csv_fault(str(path), ",").startswith("line 3: field larger than field limit (131072); is a quote")


def test_rows_end_at_carriage_returns_too(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.write_bytes(b"path,label\ra.jpg,1\rb.jpg\r")
    assert find_csv_fault(str(path), ",") == "line 3: expected 2 values as in the header, got 1"
    path.write_bytes(b'\xef\xbb\xbfpath,label\r\n"a\r\nb",1\r\nc,2\r\n')
    assert find_row_lines(str(path), delimiter=",") == [2, 4]


def test_the_first_fault_is_told(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.write_bytes(b"path,label\na.jpg,1\n\xff.jpg,1\nb.jpg\n")
    assert find_csv_fault(str(path), ",") == "line 3: not UTF-8; save the listing as UTF-8"
    (tmp_path / "l.jsonl").write_bytes(b'{"path": "a.jpg"}\n' + b"[" * 20_000 + b"\n")
    assert find_json_fault(str(tmp_path / "l.jsonl")).startswith("line 2: expected one JSON object")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["l.csv", "l.jsonl", "l.lst", "l.csv.gz", "l.jsonl.gz"])
def test_a_line_without_end(tmp_path: Path, name: str) -> None:
    heads = {"csv": b"path,label\na.jpg,1\n", "jsonl": b'{"path": "a.jpg"}\n', "lst": b"0\t0\ta.jpg\n"}
    data = heads[name.split(".")[1]] + b"b" * HUGE_BYTES
    (tmp_path / name).write_bytes(gzip.compress(data, 1) if name.endswith(".gz") else data)
    assert "expected at most 16,777,216 bytes" in failure(tmp_path / name)


@pytest.mark.slow
def test_an_open_quote_before_a_large_file_takes_little(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.write_bytes(b'path,label\n"a.jpg,1\n' + b"b.jpg,2\n" * (HUGE_BYTES // 8))
    assert "line 2: " in refuse("plan", path, "--gpus", "1")


@pytest.mark.slow
def test_a_line_of_a_gigabyte_takes_little(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    with open(path, "wb") as file:  # a hole, which reads as zero bytes
        file.write(b"path,label\na.jpg,1\n")
        file.truncate(10**9)
    assert "line 3: expected at most 16,777,216 bytes" in refuse("plan", path, "--gpus", "1")
