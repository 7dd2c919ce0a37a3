"""Documents of others are values or one kind of error, whatever is in them."""

import itertools

import pytest

from packer.parsing import MAX_DEPTH, ParseError, as_json_text, parse_json, parse_yaml

DEEP = b"[" * 20_000 + b"]" * 20_000
DIGITS = b"9" * 5_000


def bomb() -> bytes:
    """Nine aliases nine deep, which stand for 9**9 values."""
    names = "abcdefghi"
    lines = ['a: &a ["x", "x", "x", "x", "x", "x", "x", "x", "x"]']
    lines += [f"{own}: &{own} [{', '.join([f'*{before}'] * 9)}]" for before, own in itertools.pairwise(names)]
    return "\n".join(lines).encode()


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (DEEP, "nested too deeply"),
        (b'{"a":' * 20_000 + b"1" + b"}" * 20_000, "nested too deeply"),
        (DIGITS, "out of range"),
        (b"[1,", "truncated"),
        (b"\xff", "malformed"),
        (b'"\xff"', "UTF-8"),
    ],
)
def test_json_that_is_refused(data: bytes, problem: str) -> None:
    with pytest.raises(ParseError, match=problem) as caught:
        parse_json(data)
    assert str(caught.value).isprintable()


def test_json_of_a_kind() -> None:
    assert parse_json(b'{"1": [2.5]}', dict[int, list[float]]) == {1: [2.5]}
    assert parse_json('["a"]') == ["a"]
    with pytest.raises(ParseError, match="out of range"):
        parse_json(b'{"' + DIGITS + b'": 1}', dict[int, int])
    with pytest.raises(ParseError, match="Expected `int`"):
        parse_json(b'["a"]', list[int])


@pytest.mark.parametrize("value", ["[" * 20_000 + "]" * 20_000, "words", "9" * 5_000, '{"a"'])
def test_what_cannot_be_read_as_json_becomes_a_json_text(value: str) -> None:
    assert parse_json(as_json_text(value)) == value


def test_json_stays_as_it_is() -> None:
    assert as_json_text("[1, 2]") == "[1, 2]"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (DEEP, "deeper than 100"),
        (b"\n".join(b" " * level + b"a:" for level in range(MAX_DEPTH + 1)), "deeper than 100"),
        (bomb(), r"got the alias \*a"),
        (b"a: &a {x: 1}\nb:\n  <<: [*a, *a]\n", "alias"),
        (b"seed: " + DIGITS, "thousands of digits"),
        (b"a: [", "expected the node content"),
        (b"!!python/object:os.system {}", "constructor"),
    ],
)
def test_yaml_that_is_refused(data: bytes, problem: str) -> None:
    with pytest.raises(ParseError, match=problem) as caught:
        parse_yaml(data.decode())
    assert "\n" not in str(caught.value)


def test_yaml() -> None:
    assert parse_yaml("resize: 256\nsplit: train=1\n") == {"resize": 256, "split": "train=1"}
    assert parse_yaml('{"a": [1, {"b": null}]}') == {"a": [1, {"b": None}]}
    assert parse_yaml("[" * MAX_DEPTH + "]" * MAX_DEPTH)
