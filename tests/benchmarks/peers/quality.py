"""What came out: packed photographs taken back from the shards and compared with a float Lanczos reference."""

from __future__ import annotations

import io
import json
import math
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from PIL import Image, ImageOps

from packer.formats.example import FeatureValues, decode_example
from packer.formats.irheader import decode_image_record
from packer.formats.registry import get_format
from packer.specs import FormatName
from packer.stores.local_store import LocalStore
from tests.benchmarks.measure import median
from tests.benchmarks.peers.corpora import Corpus
from tests.benchmarks.peers.packers import Packer, adapter_command
from tests.benchmarks.psnr import psnr_db, reference_pixels

_SHORT_SIDE_PX = 256
_NAME_FEATURES = ("image/filename", "url", "name")
_IMAGE_FEATURES = ("image/encoded", "jpg", "image")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    num_images: int
    """That are in the shards and can be decoded."""
    num_misshapen: int
    """Of the ones compared: those whose size is not that of the upright photograph, within a pixel."""
    num_compared: int
    median_db: float
    least_db: float


def extract(packer: Packer, dest: Path, folder: Path) -> dict[str, bytes]:
    """Return packed images by file name. Raises CalledProcessError when the peer cannot read its own shards."""
    if packer.output.startswith("with_"):
        folder.mkdir()
        command = adapter_command(packer.environment, packer.output, "extract", dest, folder)
        subprocess.run(command, check=True, capture_output=True)
        return {path.name: path.read_bytes() for path in folder.iterdir()}
    return dict({"tar": _from_tars, "tfrecord": _from_tfrecords, "recordio": _from_recordio}[packer.output](dest))


def measure_quality(corpus: Corpus, packed: dict[str, bytes], *, count: int) -> Quality:
    """Compare up to `count` images that are spread over the corpus and whose colours need no conversion."""
    plain = [path for path in corpus.images if path.name in packed and _is_plain(path)]
    chosen = plain[:: max(1, len(plain) // count)][:count]
    decibels = [_compare(path, packed[path.name]) for path in chosen]
    good = [value for value in decibels if value is not None]
    return Quality(
        num_images=sum(_is_decodable(data) for data in packed.values()),
        num_misshapen=len(decibels) - len(good),
        num_compared=len(decibels),
        median_db=median(good) if good else math.nan,
        least_db=min(good, default=math.nan),
    )


def _compare(path: Path, data: bytes) -> float | None:
    """Return the PSNR against the upright photograph, or None where the shape is another."""
    packed = Image.open(io.BytesIO(data)).convert("RGB")
    with Image.open(path) as source:
        upright = ImageOps.exif_transpose(source)
    scale = _SHORT_SIDE_PX / min(upright.size)
    if any(abs(got - side * scale) > 1 for got, side in zip(packed.size, upright.size, strict=True)):
        return None
    return psnr_db(packed, reference_pixels(upright, packed.size))


def _is_plain(path: Path) -> bool:
    with Image.open(path) as image:
        return "icc_profile" not in image.info and image.mode in ("RGB", "L")


def _from_tars(dest: Path) -> Iterator[tuple[str, bytes]]:
    """Read members by their key; img2dataset keeps the name in a JSON file beside the image."""
    for path in sorted(dest.rglob("*.tar")):
        with tarfile.open(path) as archive:
            contents = {member.name: _member(archive, member) for member in archive}
        for name, data in contents.items():
            stem = name.rpartition(".")[0]
            beside = contents.get(f"{stem}.json")
            if name.endswith(".jpg"):
                yield (Path(json.loads(beside)["url"]).name if beside else name), data


def _member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return file.read() if file else b""


def _from_tfrecords(dest: Path) -> Iterator[tuple[str, bytes]]:
    store = LocalStore(dest)
    for key in sorted(found.key for found in store.list() if ".tfrecord" in found.key):
        for record in get_format(FormatName.TFRECORD).iter_buffer(store.view(key), name=key):
            features = decode_example(cast("bytes", record.payload))
            name, data = _first(features, _NAME_FEATURES), _first(features, _IMAGE_FEATURES)
            yield Path(name.decode()).name, data


def _first(features: Mapping[str, FeatureValues], names: tuple[str, ...]) -> bytes:
    value = next(features[name][0] for name in names if name in features)
    assert isinstance(value, bytes)
    return value


def _from_recordio(dest: Path) -> Iterator[tuple[str, bytes]]:
    """Read the id in each image's header, which im2rec takes from its list."""
    store = LocalStore(dest)
    for key in sorted(found.key for found in store.list() if found.key.endswith(".rec")):
        for record in get_format(FormatName.RECORDIO).iter_buffer(store.view(key), name=key):
            payload = bytes(cast("bytes", record.payload))
            index = int.from_bytes(payload[8:16], "little")
            yield f"{index:06d}.jpg", decode_image_record(payload).encoded


def _is_decodable(data: bytes) -> bool:
    try:
        Image.open(io.BytesIO(data)).load()
    except OSError:
        return False
    return True
