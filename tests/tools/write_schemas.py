"""Write the JSON Schemas of what users exchange with shardpack, made from the models:  write_schemas.py [FOLDER]

The command line, `--config` files and readers of the manifest in other languages go by these files.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import msgspec

from packer.dataset.manifest import Manifest
from packer.options import PackOptions

ROOT = Path(__file__).parents[2]
SCHEMAS: dict[str, type[msgspec.Struct]] = {
    "manifest.schema.json": Manifest,
    "pack-options.schema.json": PackOptions,
}


def render(model: type[msgspec.Struct]) -> str:
    """Return the schema as indented JSON that ends in a line feed; the order of keys is that of the model."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(model)}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def write_schemas(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, model in SCHEMAS.items():
        (folder / name).write_text(render(model), encoding="utf-8")


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "schemas")
