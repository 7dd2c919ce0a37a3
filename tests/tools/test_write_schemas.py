"""The schemas must accept what shardpack writes, and refuse what it would refuse."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import msgspec
import pytest
import write_schemas

from packer.options import PackOptions


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_schemas.write_schemas(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", sorted(write_schemas.SCHEMAS))
def test_each_is_a_valid_schema_and_the_same_each_time(folder: Path, name: str) -> None:
    text = (folder / name).read_text(encoding="utf-8")
    jsonschema.Draft202012Validator.check_schema(json.loads(text))
    assert text == write_schemas.render(write_schemas.SCHEMAS[name])


def test_the_committed_schemas_are_those_of_the_models() -> None:
    for name, model in write_schemas.SCHEMAS.items():
        committed = (write_schemas.ROOT / "schemas" / name).read_text(encoding="utf-8")
        assert committed == write_schemas.render(model), f"{name} is out of date: run `make schemas`"


def test_options_are_judged_as_the_command_line_judges_them(folder: Path) -> None:
    schema = json.loads((folder / "pack-options.schema.json").read_text(encoding="utf-8"))
    options = json.loads(msgspec.json.encode(PackOptions(source="photos", dest="shards")))
    jsonschema.validate(options, schema)
    for wrong in ({"format": "zip"}, {"instances": 0}, {"no_such_option": 1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(options | wrong, schema)
