"""Options by the names of their fields in errors, and as flags on command lines."""

import pickle

import pytest

from packer.errors import OptionsError, SourceError
from packer.flags import option_name, with_flags
from packer.options import parse_options

NAMES = ("shard_size", "encode", "resume", "dest", "instance_group")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("`shard_size`: expected 1MB", "--shard-size: expected 1MB"),
        ("go on with `resume=True`", "go on with --resume"),
        ("with `encode=keep` alone", "with --encode keep alone"),
        ("`instance_group=NAME=TYPE:COUNT`", "--instance-group NAME=TYPE:COUNT"),
        ("`dest`: expected a folder", "DEST: expected a folder"),
        ("`other` and `int`", "`other` and `int`"),
        ("a `b", "a `b"),
    ],
)
def test_mentions(text: str, expected: str) -> None:
    assert with_flags(text, NAMES) == expected


def test_names() -> None:
    assert [option_name(name) for name in ("source", "dest", "shard_size")] == ["SOURCE", "DEST", "--shard-size"]


@pytest.mark.parametrize("kind", [OptionsError, SourceError])
def test_an_error_names_its_field_in_other_processes_too(kind: type[OptionsError]) -> None:
    error = pickle.loads(pickle.dumps(kind("expected 1MB", field="shard_size")))
    assert (type(error), error.field, str(error)) == (kind, "shard_size", "`shard_size`: expected 1MB")
    assert str(kind("nothing there")) == "nothing there"


def test_callers_in_python_see_no_flags() -> None:
    with pytest.raises(OptionsError) as caught:
        parse_options({"source": "a", "dest": "b", "encode": "keep", "fit": "short"})
    assert caught.value.field == "fit"
    assert str(caught.value) == "`fit`: expected with `resize`, since `encode=keep` resizes nothing, got short"
