"""Options: what is derived from them, and that nothing untyped passes."""

from fractions import Fraction

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from packer.errors import OptionsError
from packer.options import PackOptions, parse_options, parse_size
from packer.specs import Fit, FormatName

PLACES = {"source": "a", "dest": "b"}


def parse(**values: object) -> PackOptions:
    return parse_options({**PLACES, **values})


def test_defaults() -> None:
    options = parse()
    assert options == PackOptions(source="a", dest="b")
    assert (options.world, options.format, options.seed) == (1, FormatName.TFRECORD, 0)
    assert options.shard_spec().target_bytes == 100_000_000
    assert [(split.name, split.numerator, split.denominator) for split in options.splits()] == [("train", 1, 1)]


@pytest.mark.parametrize(
    ("values", "world"),
    [
        ({"gpus": 16}, 16),
        ({"instances": 2, "gpus_per_instance": 8}, 16),
        ({"instances": "2", "gpus_per_instance": "8", "gpus": "16"}, 16),
        ({"instances": 3}, 3),
    ],
)
def test_world(values: dict[str, object], world: int) -> None:
    assert parse(**values).world == world
    assert parse(**values).shard_spec().world == world


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, (256, 256, Fit.SHORT)),
        ({"resize": "64"}, (64, 64, Fit.SHORT)),
        ({"resize": 64}, (64, 64, Fit.SHORT)),
        ({"resize": "64x32"}, (64, 32, Fit.COVER)),
        ({"resize": "64x32", "fit": "contain"}, (64, 32, Fit.CONTAIN)),
        ({"resize": "64", "fit": "stretch"}, (64, 64, Fit.STRETCH)),
    ],
)
def test_sizes_of_samples(values: dict[str, object], expected: tuple[int, int, Fit]) -> None:
    spec = parse(**values).image_spec()
    assert (spec.width, spec.height, spec.fit) == expected


@pytest.mark.parametrize(
    ("text", "num_bytes"),
    [
        ("100MB", 10**8),
        ("64MiB", 64 << 20),
        ("1000000", 10**6),
        ("1.5 mb", 1_500_000),
        ("0.1GB", 10**8),
        (" 2 MB ", 2 * 10**6),
    ],
)
def test_sizes(text: str, num_bytes: int) -> None:
    assert parse_size(text, "shard_size") == num_bytes


@pytest.mark.parametrize("text", ["", "MB", "-1MB", "1e6", "1 TB", "1,000", "0x10", "1MB2"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(OptionsError, match=r"^`shard_size`: expected a size such as 100MB or 64MiB, got "):
        parse_size(text, "shard_size")


@pytest.mark.parametrize(("text", "fits"), [("1MB", True), ("128MB", True), ("999999", False), ("128000001", False)])
def test_bounds_of_shards(text: str, fits: bool) -> None:
    if fits:
        assert parse(shard_size=text).shard_spec().target_bytes == parse_size(text, "")
    else:
        with pytest.raises(OptionsError, match="`shard_size`: expected 1MB to 128MB"):
            parse(shard_size=text)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=6))
def test_shares_are_exact(weights: list[int]) -> None:
    total = sum(weights)
    text = ",".join(f"split-{index}={weight}/{total}" for index, weight in enumerate(weights))
    splits = parse(split=text).splits()
    assert [Fraction(split.numerator, split.denominator) for split in splits] == [Fraction(w, total) for w in weights]
    assert sum(Fraction(split.numerator, split.denominator) for split in splits) == 1


@pytest.mark.parametrize(
    ("values", "local_size"),
    [
        ({}, 1),
        ({"instances": 2, "gpus_per_instance": 16}, 16),
        ({"instances": 4}, 1),
        ({"gpus": 16, "instances": 4, "gpus_per_instance": 4}, 4),
        ({"gpus": 1}, 1),
        ({"gpus": 4}, 4),
        ({"gpus": 12}, 6),
        ({"gpus": 64}, 8),
        ({"gpus": 11}, 1),
    ],
)
def test_ranks_of_an_instance(values: dict[str, object], local_size: int) -> None:
    assert parse_options({"source": "s", "dest": "d", **values}).local_size == local_size


def test_tenths_sum_to_one() -> None:
    """0.7 + 0.2 + 0.1 is not 1 in binary."""
    assert len(parse(split="train=0.7,val=0.2,test=0.1").splits()) == 3


@pytest.mark.parametrize(
    ("name", "is_training"), [("train", True), ("train-b", True), ("training", False), ("val", False)]
)
def test_training_splits(name: str, is_training: bool) -> None:
    assert parse(split=f"{name}=1").splits()[0].is_training == is_training


@pytest.mark.parametrize("name", ["source", "dest"])
@pytest.mark.parametrize("value", [None, "", 0])
def test_places_are_needed(name: str, value: object) -> None:
    with pytest.raises(OptionsError, match=f"^`{name}`: expected a path or URI, got nothing"):
        parse(**{name: value})


@pytest.mark.parametrize("value", ["a\0b", "a\udcffb"])
@pytest.mark.parametrize("name", ["source", "dest", "group_column"])
def test_text_that_no_file_system_or_document_holds(name: str, value: str) -> None:
    with pytest.raises(OptionsError, match=r": expected text in UTF-8 without zero bytes, got "):
        parse(**{name: value})


_FIELDS = msgspec.structs.fields(PackOptions)
_ANY = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12), st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=1), st.binary(max_size=3),
)  # fmt: skip


@given(st.dictionaries(st.sampled_from([field.name for field in _FIELDS]), _ANY, max_size=4))
def test_any_value_is_taken_or_refused_in_one_line_that_names_an_option(values: dict[str, object]) -> None:
    try:
        options = parse(**values)
    except OptionsError as error:
        text = str(error)
        assert "\n" not in text or any("\n" in str(value) for value in values.values())
        assert text.startswith("`")
        assert "expected" in text
    else:
        assert msgspec.convert(msgspec.to_builtins(options), PackOptions) == options
        assert msgspec.json.decode(msgspec.json.encode(options), type=PackOptions) == options


def test_every_option_is_described() -> None:
    for field in _FIELDS:
        descriptions = [m.description for m in getattr(field.type, "__metadata__", ()) if isinstance(m, msgspec.Meta)]
        assert any(descriptions), field.name


def test_options_do_not_change() -> None:
    with pytest.raises(AttributeError):
        parse().seed = 1
