"""Files whose rows hold images, in the layouts that people have."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq


def hub_schema(class_names, *, image="image", label="label"):
    """The schema of the Hugging Face Hub for images with class labels, its features in the metadata."""
    features = {image: {"_type": "Image"}, label: {"names": list(class_names), "_type": "ClassLabel"}}
    structs = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    return pa.schema([(image, structs), (label, pa.int64())], metadata=metadata)


def hub_table(paths, class_names):
    """Images of class folders as the Hub has them."""
    rows = [{"bytes": path.read_bytes(), "path": path.name} for path in paths]
    labels = [class_names.index(path.parent.name) for path in paths]
    return pa.table([pa.array(rows, hub_schema(class_names).field(0).type), pa.array(labels)], hub_schema(class_names))


def write_rows(table, path, *, rows_per_group=7):
    """Write a table by the kind that the name states."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=rows_per_group)
    elif path.suffix == ".feather":
        with pa.OSFile(str(path), "wb") as out, pa.ipc.new_file(out, table.schema) as writer:
            writer.write_table(table, max_chunksize=rows_per_group)
    else:
        with pa.OSFile(str(path), "wb") as out, pa.ipc.new_stream(out, table.schema) as writer:
            writer.write_table(table, max_chunksize=rows_per_group)
