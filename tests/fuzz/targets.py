"""What is fuzzed: parsers of bytes that come from outside. Each may raise a PackerError and nothing else.

`TARGETS` maps a name to a function of bytes and to seeds: inputs that are accepted, to be mutated.
"""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pyarrow as pa
from PIL import Image

from packer.channels.key_lists import parse_key_list
from packer.dataset.load import load_labels
from packer.dataset.manifest import decode_manifest
from packer.dataset.planfile import load_plan
from packer.dataset.receipt import load_receipt
from packer.dataset.recordstable import RecordRow, build_records, decode_records, encode_records
from packer.errors import PackerError
from packer.formats.container import Container, Sample
from packer.formats.framed_container import FramedContainer
from packer.formats.index import parse_dali_index, parse_list, parse_mxnet_index
from packer.formats.recordio import CONTAINER as RECORDIO
from packer.formats.registry import get_format
from packer.formats.tfrecord import CONTAINER as TFRECORD
from packer.imaging.transform import transform_image
from packer.options import parse_options
from packer.sources.items import SourceSpec
from packer.sources.open_source import list_source
from packer.specs import FormatName
from packer.stores.local_store import LocalStore


@dataclass(frozen=True, slots=True)
class Target:
    """One parser."""

    parse: Callable[[bytes], None]
    seeds: tuple[bytes, ...]


def check(target: Target, data: bytes) -> None:
    """Give the parser some bytes; typed errors are fine, all others go through."""
    with contextlib.suppress(PackerError):
        target.parse(data)


def _container(container: Container) -> Target:
    def parse(data: bytes) -> None:
        payloads = [bytes(r.payload) for r in _until_error(container.iter_buffer(memoryview(data), name="fuzz"))]
        streamed = [bytes(r.payload) for r in _until_error(container.iter_stream(io.BytesIO(data), name="fuzz"))]
        assert payloads == streamed, "a buffer and a stream of the same bytes must give the same records"
        for payload in payloads:
            with contextlib.suppress(PackerError):
                container.decode_sample(payload)
            with contextlib.suppress(PackerError):
                container.decode_record(payload)

    samples = [
        Sample(
            key="a/b.jpg", encoded=b"\xff\xd8 some bytes", image_format="jpeg", height=3, width=4, channels=3, label=7
        ),
        Sample(key="c", encoded=b"\x0a\x23\xd7\xce" * 3, image_format="png", label=(0.5, 2.0), extras={"n": (1, 2)}),
        Sample(key="d", encoded=b"", image_format="", source_sha256="ab" * 32, class_text="cat", extras={"t": "x"}),
    ]
    whole, single = container.open_writer("train", 0), container.open_writer("train", 0)
    for position, sample in enumerate(samples):
        whole.add(sample, position)
    single.add(samples[1], 0)
    return Target(parse, (b"".join(whole.finish()), b"".join(single.finish())))


def _until_error(records):
    with contextlib.suppress(PackerError):
        yield from records


def _payload(container: FramedContainer) -> Target:
    sample = Sample(key="k", encoded=b"image", image_format="jpeg", label=3, extras={"a": 1.5, "b": ("x", "y")})
    return Target(lambda data: _ignore(container.decode_sample(data)), (container.encode_sample(sample, position=0),))


def _text(parse: Callable[..., object], *seeds: bytes) -> Target:
    return Target(lambda data: _ignore(parse(data.decode("utf-8", "surrogateescape"), name="fuzz")), seeds)


def _ignore(_: object) -> None:
    return


@cache
def _scratch() -> Path:
    return Path(tempfile.mkdtemp(prefix="shardpack-fuzz-"))


def _golden(name: str) -> bytes:
    return (Path(__file__).parents[1] / "golden/v1" / name).read_bytes()


def _stored(key: str, read: Callable[[LocalStore], object], *seeds: bytes) -> Target:
    def parse(data: bytes) -> None:
        store = LocalStore(_scratch())
        store.put(key, [data])
        read(store)

    return Target(parse, seeds)


def _listing(name: str, *seeds: bytes) -> Target:
    def parse(data: bytes) -> None:
        folder = _scratch()
        for image in ("a.jpg", "b.png"):
            (folder / image).write_bytes(b"x")
        path = folder / name
        path.write_bytes(data)
        list_source(SourceSpec(source=os.fspath(path)))

    return Target(parse, seeds)


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cat/1.jpg", b"one" * 20)
        archive.writestr("dog/2.png", b"two")
    return file.getvalue()


def _tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name in ("cat/1.jpg", "dog/2.png"):
            member = tarfile.TarInfo(name)
            member.size = 5
            archive.addfile(member, io.BytesIO(b"bytes"))
    return file.getvalue()[:4096]


def _image() -> Target:
    spec = parse_options({"source": "s", "dest": "d", "resize": "16", "max_pixels": 1_000_000}).image_spec()
    seeds = []
    for kind in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM"):
        file = io.BytesIO()
        Image.linear_gradient("L").resize((20, 17)).convert("RGB").save(file, kind)
        seeds.append(file.getvalue())
    return Target(lambda data: _ignore(transform_image(data, spec)), tuple(seeds))


def _records_table() -> bytes:
    items = pa.table({"key": ["a"], "num_bytes": [3], "label": [1]})
    row = RecordRow(item_index=0, source_sha256=b"\1" * 32, is_fill=False, num_bytes=30)
    return encode_records(build_records(items, [row]))


TARGETS: Mapping[str, Target] = {
    "tfrecord": _container(TFRECORD),
    "recordio": _container(RECORDIO),
    "webdataset": _container(get_format(FormatName.WEBDATASET)),
    "example": _payload(TFRECORD),
    "irheader": _payload(RECORDIO),
    "dali_index": _text(parse_dali_index, b"0 30\n30 12\n"),
    "mxnet_index": _text(parse_mxnet_index, b"0\t0\n1\t40\n"),
    "lst": _text(parse_list, b"0\t1.000000\ta/b.jpg\n1\t0.5\t2\tc d.jpg\n"),
    "manifest": Target(
        lambda data: _ignore(decode_manifest(data, name="fuzz")),
        (_golden("recordio/manifest.json"), _golden("tfrecord/manifest.json")),
    ),
    "plan": _stored(
        "meta/plan.json", load_plan, _golden("recordio/meta/plan.json"), _golden("reshard-interrupted/meta/plan.json")
    ),
    "labels": _stored("meta/labels.json", load_labels, b'{"kind": "class", "num_classes": 1, "names": {"0": "cat"}}'),
    "receipt": _stored(
        "meta/receipts/0/train-00000-of-00002.json",
        lambda store: load_receipt(store, "train-00000-of-00002", plan_id="0"),
        _golden("tfrecord-interrupted/meta/receipts/train-00000-of-00002.json"),
    ),
    "keylist": Target(
        lambda data: _ignore(parse_key_list(data, name="fuzz")), (b'[{"prefix": "s3://b/train/"}, "train-0.rec"]',)
    ),
    "records": Target(lambda data: _ignore(decode_records(data, name="fuzz")), (_records_table(),)),
    "csv": _listing("listing.csv", b'path,label,note\na.jpg,1,"x, y"\nb.png,0,\n'),
    "jsonl": _listing("listing.jsonl", b'{"path": "a.jpg", "label": 1}\n{"path": "b.png", "label": 0, "x": [1]}\n'),
    "image": _image(),
    "zip": _listing("set.zip", _zip()),
    "tar": _listing("set.tar", _tar()),
    "augmented": _listing(
        "set.manifest", b'{"source-ref": "a.jpg", "label": 0}\n{"source-ref": "b.png", "label": 1}\n'
    ),
}
