import pytest
from hypothesis import given
from hypothesis import strategies as st

from packer.errors import DataSetError
from packer.planning.fills import choose_fills

labels = st.one_of(st.none(), st.integers(0, 3))


@pytest.mark.parametrize(
    ("good", "missing", "by_class", "expected"),
    [
        ([0, 1, 2], [], False, []),
        ([0, 1, 2], [None, None, None, None], False, [0, 1, 2, 0]),  # in turn, from the first
        ([0, 1, 2], [1, 1], False, [0, 1]),
        ([0, 1, 0, 1], [1, 1, 1, None], True, [1, 3, 1, 0]),  # of the same class, in turn
        ([0, 0], [7, None], True, [0, 1]),  # no sample of class 7: any will do
    ],
)
def test_choice(good: list[int | None], missing: list[int | None], by_class: bool, expected: list[int]) -> None:
    assert choose_fills(good, missing, by_class=by_class) == expected


def test_nothing_can_stand_in_for_nothing() -> None:
    with pytest.raises(DataSetError, match="none of the shard's items"):
        choose_fills([], [None], by_class=False)
    assert choose_fills([], [], by_class=False) == []


@given(st.lists(labels, min_size=1, max_size=30), st.lists(labels, max_size=30))
def test_fills_are_evenly_spread(good: list[int | None], missing: list[int | None]) -> None:
    chosen = choose_fills(good, missing, by_class=False)
    uses = [chosen.count(index) for index in range(len(good))]
    assert len(chosen) == len(missing)
    assert max(uses) - min(uses) <= 1


@given(st.lists(labels, min_size=1, max_size=30), st.lists(labels, max_size=30))
def test_same_class_where_there_is_one(good: list[int | None], missing: list[int | None]) -> None:
    for label, index in zip(missing, choose_fills(good, missing, by_class=True), strict=True):
        if label is not None and label in good:
            assert good[index] == label
