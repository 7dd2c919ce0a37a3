"""The columns of a Parquet shard, and what Hugging Face `datasets` is told of them.

The schema's metadata has, under ``huggingface``, the JSON ``{"info": {"features": {column: feature}}}``; see
https://huggingface.co/docs/datasets/about_dataset_features. With it `datasets` decodes the images and names classes.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from packer.formats.container import RecordSchema
from packer.specs import FieldKind, FieldSpec

IMAGE, LABEL, KEY, SOURCE_SHA256, IS_FILL = "image", "label", "key", "source_sha256", "is_fill"
OWN_COLUMNS = (IMAGE, LABEL, KEY, SOURCE_SHA256, IS_FILL)
"""Of every shard, the label where there is one; behind them come extra columns and pictures."""
PICTURE_TYPE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
PLACE_NUMBERS = {FieldKind.BOXES: 4, FieldKind.POINTS: 2}
"""Numbers of a place, which are a list of their own."""

_METADATA = b"huggingface"
_IMAGE_FEATURE = {"_type": "Image"}


def shard_schema(schema: RecordSchema) -> pa.Schema:
    """Return the columns of all shards of a data set, with the metadata for `datasets`."""
    columns: dict[str, tuple[pa.DataType, dict[str, Any]]] = {IMAGE: (PICTURE_TYPE, _IMAGE_FEATURE)}
    if schema.label_kind == "class":
        columns[LABEL] = (pa.int64(), _class_feature(_names_of_all(schema)))
    elif schema.label_kind == "floats":
        columns[LABEL] = _typed(pa.list_(pa.float32()))
    columns |= {KEY: _typed(pa.string()), SOURCE_SHA256: _typed(pa.string()), IS_FILL: _typed(pa.bool_())}
    fields = {name: spec for spec in schema.fields for name in spec.columns}
    for column in schema.columns or ():
        spec = fields.get(column.name)
        columns[column.name] = _typed(_plain(column.type)) if spec is None else _field_column(spec, column)
    for spec in schema.fields:
        if spec.is_picture:
            columns[spec.name] = (PICTURE_TYPE, _IMAGE_FEATURE)
    features = {name: feature for name, (_, feature) in columns.items()}
    metadata = {_METADATA: json.dumps({"info": {"features": features}}, ensure_ascii=False).encode()}
    return pa.schema([pa.field(name, kind) for name, (kind, _) in columns.items()], metadata=metadata)


def class_names_in(schema: pa.Schema) -> tuple[str, ...]:
    """Return the names of the label's classes, as the metadata of a shard has them; none where it has none."""
    try:
        features = json.loads((schema.metadata or {})[_METADATA])["info"]["features"]
        return tuple(features[LABEL]["names"])
    except (KeyError, TypeError, ValueError):
        return ()


def _field_column(spec: FieldSpec, column: pa.Field) -> tuple[pa.DataType, dict[str, Any]]:
    """Return the column of a field: places as lists of their numbers, class ids with their names."""
    kind = _plain(column.type)
    if spec.kind in PLACE_NUMBERS and column.name == spec.name:
        return _typed(pa.list_(pa.list_(kind.value_type)))
    if spec.kind is FieldKind.BOXES and spec.class_names:
        return kind, _sequence(_class_feature(list(spec.class_names)))
    return _typed(kind)


def _plain(kind: pa.DataType) -> pa.DataType:
    """Return the type as every reader knows it: with offsets of 32 bits, and lists whose elements have one name."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(_plain(kind.value_type))
    return {pa.large_string(): pa.string(), pa.large_binary(): pa.binary()}.get(kind, kind)


def _typed(kind: pa.DataType) -> tuple[pa.DataType, dict[str, Any]]:
    return kind, _feature(kind)


def _feature(kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_list(kind):
        return _sequence(_feature(kind.value_type))
    return {"dtype": {"double": "float64", "float": "float32"}.get(str(kind), str(kind)), "_type": "Value"}


def _sequence(feature: dict[str, Any]) -> dict[str, Any]:
    """Return a list of a feature, under the name that all releases of `datasets` know."""
    return {"feature": feature, "_type": "Sequence"}


def _class_feature(names: list[str]) -> dict[str, Any]:
    """Return class ids with their names; as numbers where there are none, or two classes have one name."""
    if not names or len(set(names)) < len(names):
        return _feature(pa.int64())
    return {"names": names, "_type": "ClassLabel"}


def _names_of_all(schema: RecordSchema) -> list[str]:
    """Return a name for each class; of a class without one, its id."""
    given = list(schema.class_names)
    if not given:
        return []
    names = given + [""] * (schema.num_classes - len(given))
    return [name or str(class_id) for class_id, name in enumerate(names)]
