"""What is said of a phase: rates with units, time left, and as much of it as a line holds."""

import pytest

from packer.cli.phase_text import PhaseState, describe_end, describe_phase, format_seconds

STATE = PhaseState(num_items=1200, num_bytes=13_500_000, num_rejects=2)


def test_all_that_is_known() -> None:
    assert describe_phase(STATE, 4000, 15.0) == ("1,200 of 4,000 (30 %), 80 images/s, 35 s left, 2 rejects, 0.9 MB/s")
    assert describe_end(STATE, 15.0) == "1,200 in 15 s: 80 images/s, 2 rejects, 0.9 MB/s"


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (45, "1,200 of 4,000 (30 %), 80 images/s, 35 s left"),
        (44, "1,200 of 4,000 (30 %), 80 images/s"),
        (10, "1,200 of 4,000 (30 %)"),
    ],
)
def test_the_least_important_goes_first_where_there_is_no_room(width: int, expected: str) -> None:
    assert describe_phase(STATE, 4000, 15.0, width=width) == expected


def test_what_an_earlier_run_did_is_done_and_no_part_of_rates() -> None:
    state = PhaseState(num_items=100, num_reused=300)
    assert describe_phase(state, 400, 10.0) == "400 of 400 (100 %), 10 images/s, 0 s left, 300 done before"
    assert describe_phase(PhaseState(num_reused=300), 400, 10.0) == "300 of 400 (75 %), 0 images/s, 300 done before"
    assert describe_phase(PhaseState(num_items=50, num_reused=300), 400, 10.0).startswith(
        "350 of 400 (87 %), 5 images/s, 10 s left"
    )


def test_a_phase_whose_end_is_not_known_says_what_it_found() -> None:
    assert describe_phase(PhaseState(num_items=3072), None, 2.0) == "3,072 images found, 1,536 images/s, 2 s so far"
    assert describe_phase(PhaseState(), None, 2.0) == "nothing found yet, 0 images/s, 2 s so far"


def test_nothing_to_do_is_done() -> None:
    assert describe_phase(PhaseState(), 0, 1.0) == "0 of 0 (100 %), 0 images/s"


def test_seconds() -> None:
    assert [format_seconds(s) for s in (0.4, 59, 61, 3700)] == ["0 s", "59 s", "1 min 1 s", "1 h 1 min"]
