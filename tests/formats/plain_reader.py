"""A reader of data sets written from packer/docs/format.md alone: it imports nothing of shardpack and no framework."""

import io
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq


def read_shards(root: Path, split: str) -> Iterator[dict]:
    """Yield each record of a split as its features, the image as `image/encoded`."""
    manifest = json.loads((root / "manifest.json").read_bytes())
    assert manifest["version"] in (1, 2)
    kinds = {"tfrecord": parse_tfrecord, "recordio": parse_recordio, "webdataset": parse_webdataset}
    kinds["parquet"] = parse_parquet
    for shard in manifest["splits"][split]["shards"]:
        yield from kinds[manifest["format"]]((root / shard["key"]).read_bytes())


def parse_tfrecord(data: bytes) -> Iterator[dict]:
    at = 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        example, at = data[at + 12 : at + 12 + length], at + 16 + length
        features = {}
        for _, entry in fields(fields(example)[0][1]):
            (_, name), (_, feature) = fields(entry)
            ((kind, values),) = fields(feature)
            parse = {1: lambda v: v, 2: lambda v: struct.unpack(f"<{len(v) // 4}f", v), 3: varints}[kind]
            features[name.decode()] = [one for _, packed in fields(values) for one in listed(parse(packed))]
        yield {name: values if "label" in name and len(values) > 1 else values[0] for name, values in features.items()}


def listed(value: Any) -> list[Any]:
    return [value] if isinstance(value, bytes) else list(value)


def fields(message: bytes) -> list[tuple[int, bytes]]:
    """Return the fields of a protobuf message that have a length, each with its number."""
    at, found = 0, []
    while at < len(message):
        (tag, at), (size, at) = (first := varint(message, at)), varint(message, first[1])
        found.append((tag >> 3, message[at : at + size]))
        at += size
    return found


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value, shift, at = value | (data[at] & 127) << shift, shift + 7, at + 1
        if data[at - 1] < 128:
            return value, at


def varints(data: bytes) -> list[int]:
    at, values = 0, []
    while at < len(data):
        value, at = varint(data, at)
        values.append(value - (1 << 64) if value >> 63 else value)
    return values


def parse_recordio(data: bytes) -> Iterator[dict]:
    at, parts = 0, []
    while at < len(data):
        assert data[at : at + 4] == bytes.fromhex("0a23d7ce")
        (word,) = struct.unpack_from("<I", data, at + 4)
        kind, length = word >> 29, word & (1 << 29) - 1
        parts.append(data[at + 8 : at + 8 + length])
        at += 8 + -(-length // 4) * 4
        if kind in (0, 3):
            payload, parts = bytes.fromhex("0a23d7ce").join(parts), []
            flag, label, position, _ = struct.unpack_from("<IfQQ", payload)
            vector = list(struct.unpack_from(f"<{flag}f", payload, 24))
            yield {
                "image/class/label": vector or label,
                "position": position,
                "image/encoded": payload[24 + 4 * flag :],
            }


def parse_webdataset(data: bytes) -> Iterator[dict]:
    at, records = 0, {}
    while any(header := data[at : at + 512]):
        name, size = header[:100].rstrip(b"\0").decode(), int(header[124:136].rstrip(b"\0"), 8)
        key, _, extension = name.partition(".")
        records.setdefault(key, {})[extension] = data[at + 512 : at + 512 + size]
        at += 512 + -(-size // 512) * 512
    assert data[at:] == bytes(1024)
    for members in records.values():
        features = json.loads(members.pop("json"))
        if "cls" in members:
            features["image/class/label"] = int(members.pop("cls"))
        (features["image/encoded"],) = members.values()
        yield features


def parse_parquet(data: bytes) -> Iterator[dict]:
    for row in pq.read_table(io.BytesIO(data)).to_pylist():
        own = {"image/encoded": row.pop("image")["bytes"], "image/class/label": row.pop("label")}
        yield own | {"image/filename": row.pop("key"), "image/key/sha256": row.pop("source_sha256")} | row
