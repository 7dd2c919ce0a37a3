"""The small values that options are turned into, and the names that options choose from.

Everything behind the edge works with these: planning with `SplitSpec` and `ShardSpec`, imaging with `ImageSpec`, stores
with `StoreOptions`.
"""

from __future__ import annotations

import enum
import re

import msgspec

from packer.errors import OptionsError

MAX_SHARD_BYTES = 128_000_000
"""A shard never exceeds 128 MB (1 MB = 10**6 bytes)."""
MIN_SHARD_BYTES = 1_000_000
MAX_WORLD = 1_000_000
"""Far beyond any cluster, and few enough that all their shards can be listed."""

TABLE_PREFIX = "table:"
"""What the name of a source that is a table of Spark begins with."""

ITEM_LIMIT_S = 300
"""Seconds that one item may take; the slowest good ones, of 100 megapixels, take some seconds."""

MAX_LOCAL_SIZE = 8
"""GPUs of the largest common training instances; taken where only the number of all GPUs is said."""


SPLIT_NAME = "(?!meta$)[a-z][a-z0-9-]{0,31}"
"""What names of splits match: those that the layout, a SageMaker channel and an environment variable can have."""


class FormatName(enum.StrEnum):
    """The containers, each with the version of documents that brought it; a module of `packer.formats` has its name."""

    since: int

    def __new__(cls, value: str, since: int = 1) -> FormatName:
        member = str.__new__(cls, value)
        member._value_, member.since = value, since
        return member

    TFRECORD = "tfrecord"
    RECORDIO = "recordio"
    WEBDATASET = "webdataset", 2
    PARQUET = "parquet", 2


class Fit(enum.StrEnum):
    """How an image meets the requested size; sizes below are width x height in pixels."""

    SHORT = "short"
    """Short side becomes N, aspect ratio kept."""
    LONG = "long"
    """Long side becomes N, aspect ratio kept."""
    COVER = "cover"
    """Scaled to cover W x H, then cropped around the centre."""
    CONTAIN = "contain"
    """Scaled to fit inside W x H, then padded with black around the centre."""
    STRETCH = "stretch"
    """Scaled to W x H, aspect ratio ignored."""


class Encode(enum.StrEnum):
    """What samples are encoded as."""

    JPEG = "jpeg"
    """Baseline JPEG."""
    PNG = "png"
    WEBP = "webp"
    """Lossy WebP."""
    KEEP = "keep"
    """The source's own bytes where they satisfy the request already, otherwise a JPEG."""


class Subsampling(enum.IntEnum):
    """How coarsely a JPEG stores colour."""

    S420 = 420
    """At half the width and half the height."""
    S422 = 422
    """At half the width."""
    S444 = 444
    """At full size."""


class Alpha(enum.StrEnum):
    """What becomes of transparency."""

    WHITE = "white"
    """The picture stands on white; samples are RGB."""
    KEEP = "keep"
    """Samples of images with transparency are RGBA, others RGB."""


class OnReject(enum.StrEnum):
    FILL = "fill"
    SKIP = "skip"
    FAIL = "fail"


class OnConflict(enum.StrEnum):
    """What becomes of exact copies whose labels differ, where one of each set of copies is packed."""

    FAIL = "fail"
    DROP = "drop"
    """None of them is packed."""
    FIRST = "first"
    """The one with the first key is packed, by the order of the keys' bytes."""


class FieldKind(enum.StrEnum):
    """What a field beside the label is."""

    TEXT = "text"
    """One text or several, such as captions."""
    IMAGE = "image"
    """A further picture, resized and encoded as the record's own."""
    BOXES = "boxes"
    """Rectangles, each with a class or without."""
    MASK = "mask"
    """A number for each pixel of the picture, such as its class."""
    POINTS = "points"
    """Key points in an order that means something, each visible or not."""


class FieldSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A field of every record of a data set."""

    name: str
    kind: FieldKind
    class_names: tuple[str, ...] = ()
    """Of boxes, by class id; empty where they have no names."""

    @property
    def class_column(self) -> str:
        """The column of the boxes' class ids."""
        return f"{self.name}_class"

    @property
    def visible_column(self) -> str:
        """The column that says of each key point whether it is visible: 0, or another number."""
        return f"{self.name}_visible"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the field takes in tables and records; of a picture the one of its path."""
        beside = {FieldKind.BOXES: (self.class_column,), FieldKind.POINTS: (self.visible_column,)}
        return (self.name, *beside.get(self.kind, ()))

    @property
    def is_picture(self) -> bool:
        """Its values are image files of their own."""
        return self.kind in (FieldKind.IMAGE, FieldKind.MASK)

    @property
    def is_moved(self) -> bool:
        """Its values are places in the picture, in pixels."""
        return self.kind in (FieldKind.BOXES, FieldKind.POINTS)


class FieldSource(msgspec.Struct, frozen=True, kw_only=True):
    """Where a source has a field."""

    name: str
    kind: FieldKind
    column: str
    """Column of its values; of a picture beside a folder of images: the folder that it lies in."""
    beside: str = ""
    """Column of the boxes' classes, or of the points' visibilities; empty: among the values, or none."""
    is_xywh: bool = False
    """Boxes are left, top, width and height, not the corners."""


_FIELD = re.compile(r"([a-z][a-z0-9_]{0,31})=([a-z]+)(-xywh)?:([^+,]+)(?:\+([^+,]+))?")


def parse_field(text: str) -> FieldSource:
    """Return what ``NAME=KIND:COLUMN`` or ``NAME=KIND:COLUMN+COLUMN`` declares. Raises OptionsError."""
    match = _FIELD.fullmatch(text)
    kinds = ", ".join(FieldKind)
    if match is None or match[2] not in list(FieldKind):
        raise OptionsError(
            f"expected NAME=KIND:COLUMN, such as object=boxes:bbox+category, with a name of lower-case letters, digits "
            f"and _ and one of the kinds {kinds}, got {text!r}",
            field="field",
        )
    kind = FieldKind(match[2])
    if match[3] and kind is not FieldKind.BOXES:
        raise OptionsError(f"expected -xywh with boxes alone, got {text!r}", field="field")
    if match[5] and kind not in (FieldKind.BOXES, FieldKind.POINTS):
        raise OptionsError(f"expected a second column with boxes and points alone, got {text!r}", field="field")
    return FieldSource(name=match[1], kind=kind, column=match[4], beside=match[5] or "", is_xywh=match[3] is not None)


class EngineName(enum.StrEnum):
    LOCAL = "local"
    SPARK = "spark"


class ImageSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one image becomes one encoded sample. `width` x `height` in pixels; short and long use `width` alone."""

    width: int
    """0 where no image is resized."""
    height: int
    fit: Fit
    encode: Encode
    quality: int
    """1 to 100, for JPEG and WebP."""
    max_pixels: int
    subsampling: Subsampling = Subsampling.S420
    """For JPEG."""
    alpha: Alpha = Alpha.WHITE

    @property
    def keeps_all(self) -> bool:
        """Every image that decodes is stored as it is, whatever its size."""
        return self.width == 0


class SplitSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One split and its share of the items, as an exact fraction numerator / denominator."""

    name: str
    numerator: int
    denominator: int

    @property
    def is_training(self) -> bool:
        """Training splits have equal shards, with fills; every other split holds each record once."""
        return is_training_split(self.name)


def is_training_split(name: str) -> bool:
    """Say whether a split's shards must be equal in records: those named ``train`` or ``train-...``."""
    return name == "train" or name.startswith("train-")


class ShardSpec(msgspec.Struct, frozen=True, kw_only=True):
    """How a split is cut into shards."""

    world: int
    """Number of ranks: instances x GPUs per instance."""
    target_bytes: int
    """Wanted size of a shard in bytes, in [1 MB, 128 MB]."""
    allow_fill: bool
    """Accept planned fills above 2 % of the items."""
    stratify: bool


class Encryption(enum.StrEnum):
    """How a bucket encrypts what is put into it, beside its own default."""

    AES256 = "AES256"
    """With keys of the store itself (SSE-S3)."""
    KMS = "aws:kms"
    """With a key of the key service (SSE-KMS)."""


def parse_tags(text: str | None) -> tuple[tuple[str, str], ...]:
    """Return the pairs of ``K=V,K=V``. Raises OptionsError."""
    if text is None:
        return ()
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(name and equals for name, equals, _ in pairs):
        raise OptionsError(f"expected K=V pairs such as team=vision,stage=raw, got {text!r}", field="tags")
    return tuple((name, value) for name, _, value in pairs)


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where requests about a bucket go."""

    bucket: str
    region: str
    endpoint: str
    """With the bucket in its name if `is_virtual`."""
    is_virtual: bool


class StoreOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a remote store is reached. Holds no credential: those are found by each process, as boto3 finds them."""

    endpoint_url: str | None = None
    """Address of an S3 server; None: the one that AWS's own variables and profiles name, or AWS."""
    profile: str | None = None
    anonymous: bool = False
    """Requests are not signed."""
    requester_pays: bool = False
    sse: Encryption | None = None
    kms_key: str | None = None
    storage_class: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    timeout_s: int = 30
    """Seconds without any progress after which a request is given up and tried again."""
    address: Address | None = None
    """What another process found out of one bucket, to spare this one the same; None: as boto3 finds it."""

    def __post_init__(self) -> None:
        if re.search(r"//[^/]*@|\?", self.endpoint_url or ""):
            raise OptionsError("expected an address without user, password and query", field="endpoint_url")
        if self.timeout_s < 1:
            raise OptionsError(f"expected seconds of at least 1, got {self.timeout_s}", field="timeout")


DEFAULT_STORE = StoreOptions()
