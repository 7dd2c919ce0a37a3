"""The same parsers on random bytes and on mutated good inputs, in the ordinary tests."""

import resource

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS, Target, check

EXAMPLES = 60


@st.composite
def mutated(draw: st.DrawFn, target: Target) -> bytes:
    """Return a good input with some bytes replaced, removed, repeated or cut off."""
    data = bytearray(draw(st.sampled_from(target.seeds)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.sampled_from(["flip", "insert", "delete", "repeat", "cut", "large"]))
        if kind == "flip" and data:
            data[at] ^= draw(st.integers(1, 255))
        elif kind == "insert":
            data[at:at] = draw(st.binary(max_size=8))
        elif kind == "delete":
            del data[at : at + draw(st.integers(1, 8))]
        elif kind == "repeat":
            data[at:at] = data[at : at + 40]
        elif kind == "cut":
            del data[at:]
        else:  # lengths that no input can hold
            data[at : at + 4] = b"\xff\xff\xff\x7f"
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_good_inputs_are_good(name: str) -> None:
    for seed in TARGETS[name].seeds:
        check(TARGETS[name], seed)


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_only_typed_errors_and_bounded_memory(name: str) -> None:
    target = TARGETS[name]
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    @settings(max_examples=EXAMPLES)
    @given(st.one_of(mutated(target), st.binary(max_size=200)))
    def run(data: bytes) -> None:
        check(target, data)

    run()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 300_000
