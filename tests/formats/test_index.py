import random
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packer.errors import CorruptRecordError, OptionsError, SourceError
from packer.formats.index import (
    ListEntry,
    RecordSpans,
    format_dali_index,
    format_list,
    format_mxnet_index,
    iter_merged,
    parse_dali_index,
    parse_list,
    parse_mxnet_index,
)
from packer.formats.recordio import CONTAINER as RECORDIO


def spans(*sizes):
    return RecordSpans(offsets_bytes=tuple(accumulate(sizes, initial=0))[:-1], sizes_bytes=sizes)


def test_known_texts():
    assert format_dali_index(spans(21, 16, 100)) == "0 21\n21 16\n37 100\n"
    assert format_mxnet_index((0, 12, 400)) == "0\t0\n1\t12\n2\t400\n"
    assert list(iter_merged([spans(12, 8), spans(), spans(16), spans(8)])) == ["0\t0\n1\t12\n", "2\t20\n", "3\t36\n"]
    assert format_dali_index(spans()) == format_mxnet_index(()) == "".join(iter_merged([])) == ""


@given(st.lists(st.integers(1, 2**40), max_size=8))
def test_indexes_round_trip(sizes):
    made = spans(*sizes)
    parsed = parse_dali_index(format_dali_index(made), name="f")
    assert (tuple(parsed.offsets_bytes), tuple(parsed.sizes_bytes)) == (made.offsets_bytes, made.sizes_bytes)
    keyed = parse_mxnet_index(format_mxnet_index(made.offsets_bytes), name="f")
    assert (list(keyed.keys), tuple(keyed.offsets_bytes)) == (list(range(len(sizes))), made.offsets_bytes)
    assert format_dali_index(parsed) == format_dali_index(made)


def test_merged_index_finds_the_records_of_the_concatenation():
    shards = [[random.Random(n).randbytes(n * 7 % 50) for n in range(size)] for size in (3, 1, 4)]
    data, made = b"", []
    for shard in shards:
        file = b"".join(piece for payload in shard for piece in RECORDIO.frame(payload))
        records = list(RECORDIO.iter_buffer(memoryview(file), name="f"))
        made.append(
            RecordSpans(
                offsets_bytes=[record.offset_bytes for record in records],
                sizes_bytes=[record.num_bytes for record in records],
            )
        )
        data += file
    offsets = parse_mxnet_index("".join(iter_merged(made)), name="f").offsets_bytes
    payloads = [
        bytes(next(RECORDIO.iter_buffer(memoryview(data)[offset:], name="f", check=True)).payload) for offset in offsets
    ]
    assert payloads == [payload for shard in shards for payload in shard]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "0 21\n22 16\n",
            "i.idx: record 1 at byte 5: line 2: expected a record of at least 1 byte at offset 21, got 22 16",
        ),
        (
            "0 21\n21 0\n",
            "i.idx: record 1 at byte 5: line 2: expected a record of at least 1 byte at offset 21, got 21 0",
        ),
        ("0 -21\n", "i.idx: record 0 at byte 0: line 1: expected two numbers (offset size), got '0 -21'"),
        ("0 21\n\n", "i.idx: record 1 at byte 5: line 2: expected two numbers (offset size), got ''"),
        ("0 21 3\n", "i.idx: record 0 at byte 0: line 1: expected two numbers (offset size), got '0 21 3'"),
        ("0 ²\n", "i.idx: record 0 at byte 0: line 1: expected two numbers (offset size), got '0 ²'"),
        (f"0 {2**63}\n", f"i.idx: record 0 at byte 0: line 1: expected two numbers (offset size), got '0 {2**63}'"),
    ],
)
def test_damaged_dali_index_is_described(text, message):
    with pytest.raises(CorruptRecordError) as caught:
        parse_dali_index(text, name="i.idx")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("0\t0\n1\tx\n", "line 2: expected two numbers (key offset), got '1\\tx'"),
        ("0\t0\n0\t12\n", "line 2: expected each key once, got 0 again"),
    ],
)
def test_damaged_mxnet_index_is_described(text, problem):
    with pytest.raises(CorruptRecordError) as caught:
        parse_mxnet_index(text, name="i.idx")
    assert str(caught.value) == f"i.idx: record 1 at byte 4: {problem}"


@given(st.text(max_size=40))
def test_random_texts_give_the_typed_errors(text):
    for parse, error in ((parse_dali_index, CorruptRecordError), (parse_mxnet_index, CorruptRecordError)):
        try:
            assert parse(text, name="f") is not None
        except error:
            assert text
    try:
        entries = parse_list(text, name="f")
    except SourceError:
        assert text.strip()
    else:
        assert all(entry.labels and entry.path for entry in entries)


def test_list_is_written_as_im2rec_writes_it():
    entries = [
        ListEntry(index=0, labels=(3,), path="n01/a b.JPEG"),
        ListEntry(index=1, labels=(0.5, -1, 1e-9), path="é.png"),
    ]
    text = "0\t3.000000\tn01/a b.JPEG\n1\t0.500000\t-1.000000\t1e-09\té.png\n"
    assert format_list(entries) == text
    assert parse_list(text, name="f.lst") == tuple(entries)
    assert parse_list("0\t3\ta.jpg\r\n\n", name="f.lst") == (ListEntry(index=0, labels=(3.0,), path="a.jpg"),)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=4).map(tuple), st.integers(0))
def test_list_round_trips_every_label(labels, index):
    entries = (ListEntry(index=index, labels=labels, path="a/b.jpg"),)
    assert parse_list(format_list(entries), name="f") == entries


@pytest.mark.parametrize("path", ["", "a\tb", "a\nb", " a", "a\r", "a\u2028b"])
def test_paths_that_a_list_cannot_hold_are_refused(path):
    with pytest.raises(OptionsError, match=r"expected a path without tabs"):
        format_list([ListEntry(index=0, labels=(1.0,), path=path)])


def test_list_needs_a_label():
    with pytest.raises(OptionsError, match=r"'a\.jpg': expected at least one label"):
        format_list([ListEntry(index=0, labels=(), path="a.jpg")])


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("1\ta.jpg", "expected index, label and path between tabs, got '1\\ta.jpg'"),
        ("x\t1\ta.jpg", "expected a whole number and labels before the path"),
        ("1\tcat\ta.jpg", "expected a whole number and labels before the path"),
    ],
)
def test_damaged_list_is_described(line, problem):
    with pytest.raises(SourceError) as caught:
        parse_list(f"0\t1\tok.jpg\n{line}\n", name="f.lst")
    assert str(caught.value).startswith(f"f.lst: line 2: {problem}")
