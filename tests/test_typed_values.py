"""What is said of values that options cannot have, in words of people who do not program."""

import enum
from typing import Annotated

import msgspec
import pytest
from msgspec import Meta

from packer.errors import OptionsError
from packer.typed_values import check_names, choices_of, convert_options, did_you_mean


class Colour(enum.StrEnum):
    RED = "red"
    GREEN = "green"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    count: Annotated[int | None, Meta(description="of them")] = None
    level: Annotated[int, Meta(ge=1, le=100)] = 1
    share: Annotated[float, Meta(ge=0, le=1)] = 0.5
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] = 0
    least: Annotated[int, Meta(ge=3)] = 3
    name: str | None = None
    colour: Colour | None = None
    loud: bool = False


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"count": "x"}, "`count`: expected a whole number, got 'x'"),
        ({"seed": 10**30}, f"`seed`: expected a whole number of at most 64 bits, got {10**30}"),
        ({"level": 0}, "`level`: expected a whole number from 1 to 100, got 0"),
        ({"share": 2}, "`share`: expected a number from 0 to 1, got 2"),
        ({"least": 1}, "`least`: expected a whole number of at least 3, got 1"),
        ({"name": [1]}, "`name`: expected text, got [1]"),
        ({"name": Colour}, "`name`: expected text, got <enum 'Colour'>"),
        ({"count": Colour.RED}, "`count`: expected a whole number, got 'red'"),
        ({"colour": "gren"}, "`colour`: expected one of red, green, got 'gren'; did you mean green?"),
        ({"colour": "blue"}, "`colour`: expected one of red, green, got 'blue'"),
        ({"colour": 5}, "`colour`: expected one of red, green, got 5"),
        ({"loud": "often"}, "`loud`: expected true or false, got 'often'"),
    ],
)
def test_values_that_are_refused(values: dict[str, object], expected: str) -> None:
    with pytest.raises(OptionsError) as caught:
        convert_options(values, Wanted)
    assert str(caught.value) == expected


def test_names_that_are_none() -> None:
    check_names({"count": 1, "loud": 2}, Wanted)
    with pytest.raises(OptionsError, match=r"^cuont: no such option; did you mean count\?$"):
        check_names({"cuont": 1}, Wanted)
    with pytest.raises(OptionsError, match=r"^in pack.yaml: qqq: no such option; expected one of colour, count, least"):
        check_names({"qqq": 1}, Wanted, before="in pack.yaml: ")


def test_likely_names() -> None:
    assert did_you_mean("GPU", ["gpus", "split"]) == "; did you mean gpus?"
    assert did_you_mean("zzz", ["gpus"]) == ""


def test_choices() -> None:
    assert choices_of(Annotated[Colour | None, Meta(description="x")]) == ["red", "green"]
    assert choices_of(int) == []
