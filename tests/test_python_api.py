"""The interface of Python: the same options as the command line, values that say in a line what they are, a page."""

import inspect
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import msgspec
import pytest

import packer
from packer.errors import OptionsError
from packer.options import PackOptions
from packer.pipeline import pack as run_pack
from packer.python_api import pack
from packer.typed_values import choices_of
from tests.tools.datasets import SerialEngine, make_options, pack_small, write_images
from tests.tools.write_api_page import PAGE, render_page

FIELDS = {field.name: field for field in msgspec.structs.fields(PackOptions)}
KEYWORDS = inspect.signature(pack).parameters


def test_every_option_is_a_keyword_with_its_default() -> None:
    assert list(KEYWORDS) == [*FIELDS, "progress", "dataframe"]
    for name, field in FIELDS.items():
        wanted = inspect.Parameter.empty if field.default is msgspec.NODEFAULT else field.default
        assert KEYWORDS[name].default == wanted, name
        assert KEYWORDS[name].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if choices_of(field.type)])
def test_keywords_name_what_can_be_chosen(name: str) -> None:
    hint = get_type_hints(pack)[name]
    literal = next(part for part in (hint, *get_args(hint)) if get_origin(part) is Literal)
    assert [str(value) for value in get_args(literal)] == choices_of(FIELDS[name].type)


def test_wide_types_are_those_that_options_take() -> None:
    hints = get_type_hints(pack)
    wide = {
        name for name, hint in hints.items() if {Mapping, Sequence} & {get_origin(p) for p in (hint, *get_args(hint))}
    }
    assert wide == {"split", "tags", "field"}


def test_packing_and_opening(tmp_path: Path) -> None:
    source, dest = write_images(tmp_path / "source", 40), tmp_path / "shards"
    result = packer.pack(
        source=str(source), dest=str(dest), gpus=2, resize=24, workers=1, split={"train": 0.8, "val": 0.2}
    )
    assert repr(result) == f"<PackResult {dest}: 4 shards, 0 reused, finished>"
    assert (result.num_packed, result.elapsed_s > 0) == (40, True)
    dataset = packer.open(str(dest))
    assert repr(dataset) == (
        f"<DataSet {dest}: tfrecord, train: 32 records in 2 shards; val: 8 records in 2 shards; 3 classes>"
    )
    with pytest.raises(OptionsError, match="`fit`: expected one of short, long"):
        packer.pack(source=str(source), dest=str(dest), fit="round")


def test_a_part_says_that_it_is_one(tmp_path: Path) -> None:
    options = make_options(write_images(tmp_path / "source", 40), tmp_path / "out", part="0/4")
    assert repr(run_pack(options, engine=SerialEngine())).endswith("1 shard, 0 reused, one part done>")


def test_a_set_without_labels_says_so(tmp_path: Path) -> None:
    pack_small(write_images(tmp_path / "source", 40), tmp_path / "out", flat=True)
    assert repr(packer.open(str(tmp_path / "out"))).endswith("4 shards; labels: none>")


def test_the_page_is_as_the_docstrings_are() -> None:
    assert PAGE.read_text(encoding="utf-8") == render_page(), "make schemas writes it anew"


def test_the_page_has_every_public_name() -> None:
    headings = re.findall(r"^## packer\.(\w+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(headings) == sorted(packer.__all__)
