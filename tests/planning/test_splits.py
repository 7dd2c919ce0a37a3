from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from packer.planning.splits import assign_splits, split_counts
from packer.specs import SplitSpec


def specs(*shares: str) -> list[SplitSpec]:
    fractions = [Fraction(share) for share in shares]
    return [
        SplitSpec(name=f"s{index}", numerator=f.numerator, denominator=f.denominator)
        for index, f in enumerate(fractions)
    ]


@st.composite
def shares(draw: st.DrawFn) -> list[SplitSpec]:
    weights = draw(st.lists(st.integers(1, 50), min_size=1, max_size=4))
    return specs(*(f"{weight}/{sum(weights)}" for weight in weights))


@pytest.mark.parametrize(
    ("num_items", "given_shares", "expected"),
    [
        (1000, ("0.9", "0.1"), [900, 100]),
        (10, ("1",), [10]),
        (10, ("0.75", "0.25"), [8, 2]),  # 7.5 and 2.5: the earlier split wins the tie
        (10, ("1/3", "1/3", "1/3"), [4, 3, 3]),
        (0, ("0.5", "0.5"), [0, 0]),
        (10**18 + 1, ("0.1", "0.9"), [10**17, 9 * 10**17 + 1]),  # exact where floats would not be
    ],
)
def test_counts(num_items: int, given_shares: tuple[str, ...], expected: list[int]) -> None:
    assert split_counts(num_items, specs(*given_shares)) == expected


@given(st.integers(0, 10_000), shares())
def test_counts_are_within_one_of_exact(num_items: int, splits: list[SplitSpec]) -> None:
    counts = split_counts(num_items, splits)
    assert sum(counts) == num_items
    for count, spec in zip(counts, splits, strict=True):
        assert abs(count - Fraction(num_items * spec.numerator, spec.denominator)) < 1


@given(st.integers(1, 500), shares())
def test_without_groups_counts_are_exact(num_items: int, splits: list[SplitSpec]) -> None:
    assigned = assign_splits(num_items, splits)
    assert np.bincount(assigned, minlength=len(splits)).tolist() == split_counts(num_items, splits)


@given(st.lists(st.integers(0, 12), min_size=1, max_size=300), shares())
def test_groups_stay_whole_and_counts_are_within_the_largest(groups: list[int], splits: list[SplitSpec]) -> None:
    assigned = assign_splits(len(groups), splits, groups=np.array(groups)).tolist()
    owners: dict[int, set[int]] = {}
    for group, split in zip(groups, assigned, strict=True):
        owners.setdefault(group, set()).add(split)
    assert all(len(found) == 1 for found in owners.values())
    largest = max(Counter(groups).values())
    for index, count in enumerate(split_counts(len(groups), splits)):
        assert abs(assigned.count(index) - count) <= largest


@given(st.lists(st.integers(0, 6), min_size=1, max_size=300), shares())
def test_stratified_counts_are_exact_and_classes_spread(classes: list[int], splits: list[SplitSpec]) -> None:
    assigned = assign_splits(len(classes), splits, classes=np.array(classes)).tolist()
    assert [assigned.count(i) for i in range(len(splits))] == split_counts(len(classes), splits)
    for label, size in Counter(classes).items():
        for index, spec in enumerate(splits):
            found = sum(1 for c, s in zip(classes, assigned, strict=True) if (c, s) == (label, index))
            # one at each end of the class's run, and one for what other splits displace
            assert abs(found - Fraction(size * spec.numerator, spec.denominator)) < 3


@given(st.lists(st.integers(0, 6), min_size=1, max_size=300), st.integers(1, 19))
def test_two_stratified_splits_hold_each_class_within_one(classes: list[int], twentieths: int) -> None:
    splits = specs(f"{twentieths}/20", f"{20 - twentieths}/20")
    assigned = assign_splits(len(classes), splits, classes=np.array(classes)).tolist()
    for label, size in Counter(classes).items():
        found = sum(1 for c, s in zip(classes, assigned, strict=True) if (c, s) == (label, 0))
        assert abs(found - Fraction(size * twentieths, 20)) < 2
