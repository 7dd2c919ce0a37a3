"""What a user can ask of `pack` and `plan`, checked once, here.

`PackOptions` is the one list of options: the command line, configuration files, the EMR and Glue jobs and the JSON
Schema are all made from it. `parse_options` turns untyped values into it or raises OptionsError naming the field.
Everything behind the edge works with the small derived values: `ImageSpec`, `SplitSpec`, `ShardSpec`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from packer.errors import OptionsError
from packer.specs import (
    ITEM_LIMIT_S,
    MAX_LOCAL_SIZE,
    MAX_SHARD_BYTES,
    MAX_WORLD,
    MIN_SHARD_BYTES,
    SPLIT_NAME,
    Alpha,
    Encode,
    Encryption,
    EngineName,
    FieldSource,
    Fit,
    FormatName,
    ImageSpec,
    OnConflict,
    OnReject,
    ShardSpec,
    SplitSpec,
    StoreOptions,
    Subsampling,
    parse_field,
    parse_tags,
)
from packer.typed_values import check_names, convert_options, leaf_types

_DEFAULT_RESIZE = "256"
_SIZE_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


STORE_FIELDS = (
    *("endpoint_url", "profile", "anonymous", "requester_pays", "timeout"),
    *("sse", "kms_key", "storage_class", "tags"),
)
"""Fields of PackOptions that say how remote places are reached; a resumed run need not repeat them."""


class PackOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `pack` and `plan`; field names are the command line's with underscores."""

    source: Annotated[str, Meta(description="folder or archive of images, or a listing (.csv .jsonl .lst ...)")]
    dest: Annotated[str, Meta(description="where the data set goes: a folder that is new or empty")]
    instances: Annotated[int, Meta(ge=1, description="training instances")] = 1
    gpus_per_instance: Annotated[int, Meta(ge=1, description="GPUs (ranks) on each instance")] = 1
    gpus: Annotated[int | None, Meta(description="GPUs in all, instead of the two above")] = None
    format: Annotated[FormatName, Meta(description="container of the shards")] = FormatName.TFRECORD
    shard_size: Annotated[str, Meta(description="wanted size of a shard, 1MB to 128MB")] = "100MB"
    split: Annotated[str, Meta(description="splits and shares, such as train=0.9,val=0.1")] = "train=1"
    stratify: Annotated[bool, Meta(description="deal classes evenly over splits and shards")] = False
    split_column: Annotated[str | None, Meta(description="column that names each row's split, instead of `split`")] = (
        None
    )
    split_folders: Annotated[
        bool,
        Meta(description="the folders train, val, test of SOURCE are splits, instead of `split`", extra={"since": 2}),
    ] = False
    group_column: Annotated[str | None, Meta(description="keep rows with the same value here in one split")] = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1, description="seed of the order")] = 0
    resize: Annotated[
        str | None, Meta(description="N (one side or a square) or WxH, in pixels (default: 256; with keep: none)")
    ] = None
    fit: Annotated[Fit | None, Meta(description="default: short for N, cover for WxH")] = None
    encode: Annotated[Encode, Meta(description="encoding of the samples")] = Encode.JPEG
    quality: Annotated[int, Meta(ge=1, le=100, description="quality of jpeg and webp, 1 to 100")] = 95
    subsampling: Annotated[Subsampling, Meta(description="colour resolution of jpeg")] = Subsampling.S420
    alpha: Annotated[Alpha, Meta(description="transparency: over white, or kept in png and webp")] = Alpha.WHITE
    max_pixels: Annotated[int, Meta(ge=1, description="reject images with more pixels than this")] = 100_000_000
    item_timeout: Annotated[
        int, Meta(ge=1, le=86_400, description="reject images that take more seconds than this")
    ] = ITEM_LIMIT_S
    label_column: Annotated[
        str | None, Meta(description="label's column in a listing, or A,B,... for a vector (default: label, if there)")
    ] = None
    key_column: Annotated[str | None, Meta(description="path's column in a listing (default: found by name)")] = None
    root: Annotated[str | None, Meta(description="folder that a listing's paths start from (default: its own)")] = None
    flat: Annotated[bool, Meta(description="folders are not classes: no labels")] = False
    limit: Annotated[int | None, Meta(description="pack this many items only, for a trial", extra={"since": 2})] = None
    field: Annotated[
        tuple[str, ...],
        Meta(
            description="a field beside the label: text, image, boxes, mask or points; repeatable", extra={"since": 2}
        ),
    ] = ()
    class_map: Annotated[str | None, Meta(description="file with the ids of the classes (default: by name)")] = None
    engine: Annotated[EngineName, Meta(description="what runs the tasks")] = EngineName.LOCAL
    workers: Annotated[int | None, Meta(description="worker processes of the local engine (default: CPU cores)")] = None
    on_reject: Annotated[OnReject, Meta(description="what stands in for an item that cannot be packed")] = OnReject.FILL
    max_rejects: Annotated[float, Meta(ge=0, le=1, description="share of rejected items that fails the run")] = 0.01
    dedupe: Annotated[bool, Meta(description="pack one of each set of exact copies; reads the source twice")] = False
    on_conflict: Annotated[
        OnConflict,
        Meta(description="with `dedupe=True`, what becomes of exact copies whose labels differ", extra={"since": 2}),
    ] = OnConflict.FAIL
    near_duplicates: Annotated[
        bool,
        Meta(
            description="keep pictures that look alike in one split, and list them; reads the source twice",
            extra={"since": 2},
        ),
    ] = False
    allow_fill: Annotated[bool, Meta(description="accept more than 2 % repeated samples")] = False
    endpoint_url: Annotated[str | None, Meta(description="address of an S3 server (default: as boto3 finds it)")] = None
    profile: Annotated[str | None, Meta(description="AWS profile (default: as boto3 finds it)")] = None
    anonymous: Annotated[bool, Meta(description="read a public SOURCE without credentials")] = False
    requester_pays: Annotated[bool, Meta(description="pay for requests to buckets that ask for it")] = False
    sse: Annotated[Encryption | None, Meta(description="encryption of what is put into a bucket")] = None
    kms_key: Annotated[str | None, Meta(description="id of the key for `sse=aws:kms`")] = None
    storage_class: Annotated[str | None, Meta(description="storage class of what is put into a bucket")] = None
    tags: Annotated[str | None, Meta(description="tags of what is put into a bucket, as K=V,K=V")] = None
    timeout: Annotated[int, Meta(ge=1, description="seconds a request to a bucket may stand still")] = 30
    part: Annotated[str | None, Meta(description="I/N: pack every Nth shard from I on; then commit")] = None
    resume: Annotated[bool, Meta(description="go on with an interrupted run of the same options")] = False
    overwrite: Annotated[bool, Meta(description="remove the data set that is at the destination first")] = False

    def __post_init__(self) -> None:
        for name in ("gpus", "workers", "limit"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise OptionsError(f"expected a whole number of at least 1, got {value}", field=name)
        if self.world > MAX_WORLD:
            raise OptionsError(f"expected at most {MAX_WORLD:,} in all, got {self.world:,}", field="gpus")
        if math.isnan(self.max_rejects):
            raise OptionsError("expected a share from 0 to 1, got 'nan'", field="max_rejects")
        if self.gpus is not None and self.instances * self.gpus_per_instance not in (1, self.gpus):
            raise OptionsError(
                f"expected {self.instances * self.gpus_per_instance} (`instances` x `gpus_per_instance`) "
                f"or none, got {self.gpus}",
                field="gpus",
            )
        if self.resume and self.overwrite:
            raise OptionsError(
                "expected without `overwrite=True`, since it keeps what `overwrite=True` removes", field="resume"
            )
        splits = self.splits()
        if self.on_reject is OnReject.SKIP and any(s.is_training for s in splits):
            raise OptionsError(
                "expected fill or fail for a training split, got skip, which would leave its shards unequal",
                field="on_reject",
            )
        if self.split_column is not None and self.split != "train=1":
            raise OptionsError("expected without `split`, since the column names the splits", field="split_column")
        if self.on_conflict is not OnConflict.FAIL and not self.dedupe:
            raise OptionsError(
                f"expected with `dedupe=True`, which compares the images, got {self.on_conflict} without it",
                field="on_conflict",
            )
        if self.split_folders and (self.split != "train=1" or self.split_column is not None):
            raise OptionsError(
                "expected without `split` and `split_column`, since the folders are the splits", field="split_folders"
            )
        if self.part is not None and self.overwrite:
            raise OptionsError(
                "expected without `overwrite=True`, which would remove what other parts packed", field="part"
            )
        _ = self.image_spec(), self.shard_spec(), self.tasks_of_part(1), self.dest_store(), self.fields()

    @property
    def world(self) -> int:
        """Number of ranks that will train on the data set."""
        return self.gpus if self.gpus is not None else self.instances * self.gpus_per_instance

    @property
    def local_size(self) -> int:
        """Number of ranks on an instance: `gpus_per_instance`, or with `gpus` alone its largest divisor up to 8."""
        if self.gpus is None or self.instances * self.gpus_per_instance != 1:
            return self.gpus_per_instance
        return max(size for size in range(1, MAX_LOCAL_SIZE + 1) if self.gpus % size == 0)

    def tasks_of_part(self, num_tasks: int) -> range:
        """Return the tasks of `num_tasks` that this run packs: all, or those of `part`. Raises OptionsError."""
        if self.part is None:
            return range(num_tasks)
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", self.part)
        if not match or int(match[1]) >= int(match[2]):
            raise OptionsError(f"expected I/N with I from 0 to N-1, such as 0/4, got {self.part!r}", field="part")
        return range(int(match[1]), num_tasks, int(match[2]))

    def image_spec(self) -> ImageSpec:
        """Return what imaging needs. Raises OptionsError for a malformed `resize` and for options that contradict."""
        self._check_encoding()
        keeps_all = self.encode is Encode.KEEP and self.resize is None
        if keeps_all and self.fit is not None:
            raise OptionsError(
                f"expected with `resize`, since `encode=keep` resizes nothing, got {self.fit}", field="fit"
            )
        sides = (0,) if keeps_all else _parse_sides(_DEFAULT_RESIZE if self.resize is None else self.resize)
        fit = self.fit or (Fit.SHORT if len(sides) == 1 else Fit.COVER)
        if fit in (Fit.SHORT, Fit.LONG) and len(sides) == 2:
            raise OptionsError(
                f"expected cover, contain or stretch with `resize={self.resize}`, got {fit}", field="fit"
            )
        return ImageSpec(
            width=sides[0],
            height=sides[-1],
            fit=fit,
            encode=self.encode,
            quality=self.quality,
            max_pixels=self.max_pixels,
            subsampling=self.subsampling,
            alpha=self.alpha,
        )

    def _check_encoding(self) -> None:
        if self.alpha is Alpha.KEEP and self.encode not in (Encode.PNG, Encode.WEBP):
            raise OptionsError(f"expected white, or `encode=png` or webp, got keep with {self.encode}", field="alpha")
        if self.subsampling is not Subsampling.S420 and self.encode not in (Encode.JPEG, Encode.KEEP):
            raise OptionsError(
                f"expected with `encode=jpeg` or keep alone, got {self.subsampling} with {self.encode}",
                field="subsampling",
            )

    def source_store(self) -> StoreOptions:
        """Return how the source is reached."""
        return StoreOptions(
            endpoint_url=self.endpoint_url,
            profile=self.profile,
            anonymous=self.anonymous,
            requester_pays=self.requester_pays,
            timeout_s=self.timeout,
        )

    def dest_store(self) -> StoreOptions:
        """Return how the destination is reached. Raises OptionsError for tags or a key that cannot be used."""
        if self.kms_key is not None and self.sse is not Encryption.KMS:
            raise OptionsError("expected with `sse=aws:kms` only", field="kms_key")
        return msgspec.structs.replace(
            self.source_store(),
            anonymous=False,
            sse=self.sse,
            kms_key=self.kms_key,
            storage_class=self.storage_class,
            tags=parse_tags(self.tags),
        )

    def splits(self) -> tuple[SplitSpec, ...]:
        """Return the splits in the order given. Raises OptionsError unless the shares are exact and sum to 1."""
        specs = [_parse_split(part, self.split) for part in self.split.split(",")]
        if len({s.name for s in specs}) != len(specs):
            raise OptionsError(f"expected each name once, got {self.split!r}", field="split")
        total = sum((Fraction(s.numerator, s.denominator) for s in specs), Fraction(0))
        if total != 1:
            raise OptionsError(
                f"expected shares that sum to 1, got {self.split!r}, which sums to {float(total):g}", field="split"
            )
        return tuple(specs)

    def fields(self) -> tuple[FieldSource, ...]:
        """Return where the source has each field. Raises OptionsError for a malformed one, and for a name twice."""
        found = tuple(map(parse_field, self.field))
        if len({field.name for field in found}) != len(found):
            raise OptionsError(f"expected each name once, got {', '.join(self.field)}", field="field")
        return found

    def shard_spec(self) -> ShardSpec:
        """Return what sharding needs. Raises OptionsError for a `shard_size` outside 1-128 MB."""
        target_bytes = parse_size(self.shard_size, "shard_size")
        if not MIN_SHARD_BYTES <= target_bytes <= MAX_SHARD_BYTES:
            raise OptionsError(f"expected 1MB to 128MB, got {self.shard_size!r}", field="shard_size")
        return ShardSpec(
            world=self.world, target_bytes=target_bytes, allow_fill=self.allow_fill, stratify=self.stratify
        )


def _parse_sides(text: str) -> tuple[int, ...]:
    match = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", text)
    sides = tuple(int(side) for side in match.groups() if side) if match else ()
    if not sides or min(sides) < 1:
        raise OptionsError(f"expected N or WxH in pixels, such as 256 or 256x256, got {text!r}", field="resize")
    return sides


def _parse_split(part: str, text: str) -> SplitSpec:
    name, _, share = part.strip().partition("=")
    check_split_name(name, "split")
    # No exponent: 1e-999999999 would be computed exactly, digit by digit.
    plain = re.fullmatch(r"\d{1,9}(/\d{1,9})?|\d{0,9}\.\d{1,12}", share)
    try:
        fraction = Fraction(share) if plain else Fraction(0)
    except ZeroDivisionError:
        fraction = Fraction(0)
    if fraction <= 0:
        raise OptionsError(f"expected name=share pairs such as train=0.9,val=0.1, got {text!r}", field="split")
    return SplitSpec(name=name, numerator=fraction.numerator, denominator=fraction.denominator)


def check_split_name(name: str, field: str) -> None:
    """Raise OptionsError naming `field` for a name that the layout, a SageMaker channel or a variable cannot have."""
    if not re.fullmatch(SPLIT_NAME, name):
        raise OptionsError(
            f"expected names of splits of 1 to 32 lower-case letters, digits and hyphens, beginning with a letter, and "
            f"not 'meta', got {name!r}",
            field=field,
        )


def parse_size(text: str, field: str) -> int:
    """Return the bytes in ``100MB``, ``64MiB`` or ``1000000``. Raises OptionsError naming `field`."""
    match = re.fullmatch(r"\s*(\d{1,18}(?:\.\d{1,18})?)\s*([A-Za-z]*)\s*", text)
    unit = _SIZE_UNITS.get(match[2].upper()) if match else None
    if not match or unit is None:
        raise OptionsError(f"expected a size such as 100MB or 64MiB, got {text!r}", field=field)
    return int(Fraction(match[1]) * unit)


def default_options() -> dict[str, Any]:
    """Return the options that have a default, each with its own as a plan's document holds it."""
    fields = msgspec.structs.fields(PackOptions)
    return {
        field.name: msgspec.to_builtins(field.default) for field in fields if field.default is not msgspec.NODEFAULT
    }


def parse_options(values: Mapping[str, Any]) -> PackOptions:
    """Check untyped values (strings included) and return the options.

    Raises:
        OptionsError: one line that names the field, what was expected and what was found.
    """
    check_names(values, PackOptions)
    for name in ("source", "dest"):
        if not values.get(name):
            raise OptionsError("expected a path or URI, got nothing", field=name)
    values = {name: _as_text(name, value) for name, value in values.items()}
    if isinstance(fields := values.get("field"), Mapping):
        values["field"] = [f"{key}={item}" for key, item in fields.items()]
    elif isinstance(fields, str):  # where an option can be given once only, as on Glue
        values["field"] = fields.split(",")
    return convert_options(values, PackOptions)


def _as_text(name: str, value: Any) -> Any:
    """Return a number or a mapping as text where text is wanted, as in ``resize: 256`` of a YAML file."""
    if name in _PAIRS_FIELDS and isinstance(value, Mapping):
        return ",".join(f"{key}={item}" for key, item in value.items())
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number and name in _TEXT_FIELDS else value


_TEXT_FIELDS = frozenset(
    field.name
    for field in msgspec.structs.fields(PackOptions)
    if any(isinstance(node, msgspec.inspect.StrType) for node in leaf_types(field.type))
)
"""Options of any text."""
_PAIRS_FIELDS = frozenset({"split", "tags"})
"""Options of pairs, which a file may have as a mapping."""
