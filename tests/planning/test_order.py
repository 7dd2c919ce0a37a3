import hashlib

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from packer.planning.order import hash_order

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def expected_order(keys: list[str], seed: int) -> list[str]:
    return sorted(keys, key=lambda key: (hashlib.sha256(f"{seed}\0{key}".encode()).digest(), key.encode()))


@given(st.lists(texts, unique=True, max_size=50), st.integers(-5, 2**40))
def test_is_the_order_of_the_stated_digests(keys: list[str], seed: int) -> None:
    rows = hash_order(pa.array(keys, pa.large_string()), seed=seed)
    assert [keys[row] for row in rows] == expected_order(keys, seed)


@given(st.lists(texts, unique=True, max_size=30), st.randoms())
def test_does_not_depend_on_the_order_of_the_items(keys: list[str], random: object) -> None:
    shuffled = list(keys)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first = [keys[row] for row in hash_order(pa.array(keys, pa.string()), seed=7)]
    second = [shuffled[row] for row in hash_order(pa.array(shuffled, pa.string()), seed=7)]
    assert first == second


def test_reads_chunked_and_sliced_columns() -> None:
    keys = [f"k{n}" for n in range(100)]
    chunked = pa.chunked_array([pa.array(["x", *keys[:30]]).slice(1), pa.array(keys[30:])])
    assert [keys[row] for row in hash_order(chunked, seed=0)] == expected_order(keys, 0)


def test_equal_first_words_are_settled_by_the_rest_of_the_digest_and_the_key(monkeypatch) -> None:
    """Collisions of 64 bits cannot be made to order, so digests that share their first word stand in for real ones."""
    digests = {"a": b"\0" * 31 + b"\2", "b": b"\0" * 31 + b"\1", "c": b"\0" * 31 + b"\1"}

    class State:
        def __init__(self, data: bytes = b"") -> None:
            self.data = data

        def copy(self) -> "State":
            return State()

        def update(self, data: bytes) -> None:
            self.data += bytes(data)

        def digest(self) -> bytes:
            return digests[self.data.decode()]

    monkeypatch.setattr(hashlib, "sha256", State)
    rows = hash_order(pa.array(["a", "c", "b"]), seed=0)
    assert [["a", "c", "b"][row] for row in rows] == ["b", "c", "a"]


@pytest.mark.parametrize(("seed", "expected"), [(0, "dceab"), (42, "edbca")])
def test_golden_order(seed: int, expected: str) -> None:
    """A change here would change every data set that was ever packed."""
    assert "".join("abcde"[row] for row in hash_order(pa.array(list("abcde")), seed=seed)) == expected
