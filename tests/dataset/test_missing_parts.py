"""Parts that pack what is missing and nothing else."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from packer.dataset.missing_parts import find_parts


@pytest.mark.parametrize(
    ("missing", "num_tasks", "parts"),
    [
        ([1, 5], 8, ["1/4"]),
        ([1, 3, 5, 7], 8, ["1/2"]),
        ([0, 1, 2, 3], 4, ["0/1"]),
        ([2], 8, ["2/6"]),
        ([0, 1], 8, ["0/8", "1/8"]),
    ],
)
def test_the_fewest_parts(missing: list[int], num_tasks: int, parts: list[str]) -> None:
    assert find_parts(missing, num_tasks) == parts


@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1), min_size=1))))
def test_they_pack_what_is_missing_and_nothing_else(case: tuple[int, set[int]]) -> None:
    num_tasks, missing = case
    packed = []
    for part in find_parts(sorted(missing), num_tasks):
        index, _, count = part.partition("/")
        packed += range(int(index), num_tasks, int(count))
    assert sorted(packed) == sorted(missing)
