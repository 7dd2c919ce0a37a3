"""Lines that are nested too deeply are told before any parser sees them, and only those."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packer.parsing import MAX_DEPTH, ParseError
from packer.sources.json_depth import DepthCheckedFile, is_too_deep

DEEP = b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1)


def read(data: bytes, *, block_bytes: int = 1000, max_line_bytes: int = 100_000) -> bytes:
    file = DepthCheckedFile(io.BytesIO(data), max_line_bytes=max_line_bytes)
    parts = []
    while part := file.read(block_bytes):
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("block_bytes", [7, 64, 1000, 100_000])
@pytest.mark.parametrize(
    "deep",
    [
        DEEP,
        b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1),
        b'[[],{"[":1},' * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
        b'"\\"]]]", ' + DEEP,
        DEEP[: len(DEEP) // 2],
    ],
)
def test_a_deep_line_is_named_and_not_read_to_its_end(deep: bytes, block_bytes: int) -> None:
    before = b'{"path": "a.jpg", "x": [[1, 2], [3]]}\n' * 30
    with pytest.raises(ParseError, match="line 31: .* deeper than 100"):
        read(before + deep + b"\n{}\n", block_bytes=block_bytes)


@pytest.mark.parametrize("block_bytes", [7, 64, 1000, 100_000])
def test_lines_that_are_wide_or_speak_of_brackets_are_read(block_bytes: int) -> None:
    lines = [
        b"[" * MAX_DEPTH + b"]" * MAX_DEPTH,
        b'{"x": [' + b"[[1, 2], {}]," * 500 + b"1]}",
        b'{"caption": "' + b"[" * 1000 + b'"}',
        b'{"caption": "\\"' + b"{[" * 1000 + b'"}',
        *[b'{"caption": "a smile :["}'] * 300,
    ]
    data = b"\n".join(lines)
    assert read(data, block_bytes=block_bytes) == data


def test_a_line_without_end_is_not_held() -> None:
    with pytest.raises(ParseError, match="line 2: expected at most 5,000 bytes"):
        read(b"{}\n" + b"x" * 1_000_000, max_line_bytes=5_000)


@given(st.recursive(st.just(b"1"), lambda inner: st.lists(inner, max_size=3).map(lambda v: b"[" + b",".join(v) + b"]")))
def test_nothing_shallow_is_refused(document: bytes) -> None:
    depth = deepest = 0
    for byte in document:
        depth += {ord("["): 1, ord("]"): -1}.get(byte, 0)
        deepest = max(deepest, depth)
    assert deepest <= MAX_DEPTH
    assert not is_too_deep(document)
    assert read(document + b"\n", block_bytes=3)
