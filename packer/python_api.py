"""Packing from Python, with the options as plain keywords."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from packer import pipeline
from packer.options import parse_options
from packer.pipeline import PackResult
from packer.progress import Progress

_NO_OPTIONS = ("progress", "dataframe")


def pack(
    *,
    source: str,
    dest: str,
    instances: int = 1,
    gpus_per_instance: int = 1,
    gpus: int | None = None,
    format: Literal["tfrecord", "recordio", "webdataset", "parquet"] = "tfrecord",
    shard_size: str = "100MB",
    split: str | Mapping[str, float] = "train=1",
    stratify: bool = False,
    split_column: str | None = None,
    split_folders: bool = False,
    group_column: str | None = None,
    seed: int = 0,
    resize: int | str | None = None,
    fit: Literal["short", "long", "cover", "contain", "stretch"] | None = None,
    encode: Literal["jpeg", "png", "webp", "keep"] = "jpeg",
    quality: int = 95,
    subsampling: Literal[420, 422, 444] = 420,
    alpha: Literal["white", "keep"] = "white",
    max_pixels: int = 100_000_000,
    item_timeout: int = 300,
    label_column: str | None = None,
    key_column: str | None = None,
    root: str | None = None,
    flat: bool = False,
    limit: int | None = None,
    field: Sequence[str] = (),
    class_map: str | None = None,
    engine: Literal["local", "spark"] = "local",
    workers: int | None = None,
    on_reject: Literal["fill", "skip", "fail"] = "fill",
    max_rejects: float = 0.01,
    dedupe: bool = False,
    on_conflict: Literal["fail", "drop", "first"] = "fail",
    near_duplicates: bool = False,
    allow_fill: bool = False,
    endpoint_url: str | None = None,
    profile: str | None = None,
    anonymous: bool = False,
    requester_pays: bool = False,
    sse: Literal["AES256", "aws:kms"] | None = None,
    kms_key: str | None = None,
    storage_class: str | None = None,
    tags: str | Mapping[str, str] | None = None,
    timeout: int = 30,
    part: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    dataframe: Any = None,
) -> PackResult:
    """Pack a source into a data set, or one part of its shards.

    The keywords are the options of ``shardpack pack``, whose ``--help`` says what each does. `split` and `tags` may be
    mappings: ``split={"train": 0.9, "val": 0.1}``.

    Args:
        source: folder or archive of images, or a listing; a path or URI.
        dest: where the data set goes, a place that is new or empty; a path or URI.
        progress: is told of phases and of items done; by default nothing is shown.
        dataframe: a DataFrame of Spark with a row for each image, with ``engine="spark"``; `source` is then
            ``table:`` and a name for messages.

    Returns:
        What was made: the place, the manifest, counts and the time that it took.

    Raises:
        OptionsError: options or input that must be mended; nothing was written.
        PackerError: the work failed; what was packed stays for ``resume=True``.
    """
    values: dict[str, Any] = {name: value for name, value in locals().items() if name not in _NO_OPTIONS}
    return pipeline.pack(parse_options(values), progress=progress, dataframe=dataframe)
