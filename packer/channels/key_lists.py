"""Lists of shards in SageMaker's format (S3DataType ManifestFile), and the lists that a data set has.

    [{"prefix": "s3://bucket/set/train/"}, "train-00000-of-00032.tfrecord", "train-00008-of-00032.tfrecord", ...]

An object's URI is the prefix followed by a name, without a separator. All objects of a list are in one bucket. A data
set in S3 has such lists for the number of ranks of an instance that it was packed for. For 8 ranks these are
`meta/sagemaker/L8/train.manifest` with all shards of a split, and one list for each local rank, `train0.manifest` to
`train7.manifest`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from packer.dataset.manifest import Manifest
from packer.errors import DataSetError, OptionsError
from packer.parsing import ParseError, parse_json
from packer.planning.layout import SAGEMAKER_PREFIX, channel_manifest_key
from packer.stores.open_store import find_scheme
from packer.stores.store import Store

MAX_URI_CHARS = 1024
"""Most characters of an S3Uri in SageMaker's API."""
_AVOIDED = re.compile(r'[^ -~]|[\\{}^%`\[\]"<>~#|]')
"""Characters that AWS advises against in keys, since programs on the way may rewrite them."""
_URI = re.compile(r"(s3://[^/]+)/(?:[^/]+/)*[^/]+")
_LOCAL_SIZE = re.compile(rf"{SAGEMAKER_PREFIX}L([1-9][0-9]{{0,5}})/")


def format_key_list(uris: Sequence[str]) -> bytes:
    """Return the document that lists these objects, in this order.

    Raises:
        OptionsError: there are no objects, one appears twice, or they are in several buckets; or a URI is not that of
            an object in S3, is too long, or has a character that AWS advises against.
    """
    for uri in uris:
        _check_uri(uri)
    if not uris or len(set(uris)) != len(uris):
        raise OptionsError(f"a list of shards: expected one or more objects, each once, got {len(uris)} of them")
    buckets = sorted({uri.split("/")[2] for uri in uris})
    if len(buckets) > 1:
        raise OptionsError(
            f"a list of shards: expected objects of one bucket, since SageMaker takes no other list, got some of "
            f"{' and '.join(buckets)}; copy the data set to one place"
        )
    folder = _common_folder(uris)
    return msgspec.json.format(msgspec.json.encode([{"prefix": folder}, *(uri[len(folder) :] for uri in uris)])) + b"\n"


def parse_key_list(data: bytes, *, name: str) -> tuple[str, ...]:
    """Return the URIs of the objects that a document lists. `name` names it in messages. Raises DataSetError."""
    problem = 'expected a JSON list of {"prefix": "s3://..."} and names'
    try:
        head, *names = parse_json(data, list[dict[str, str] | str]) or [""]
    except ParseError as error:
        raise DataSetError(f"{name}: {problem}, but {error}") from None
    texts = [text for text in names if isinstance(text, str)]
    if not isinstance(head, dict) or set(head) != {"prefix"} or not texts or len(texts) != len(names):
        raise DataSetError(f"{name}: {problem}, found another list")
    return tuple(head["prefix"] + text for text in texts)


def keys_of_local_rank(keys: Sequence[str], *, local_rank: int, local_size: int) -> tuple[str, ...]:
    """Return the keys of a split's Pipe channel: those whose index mod `local_size` is `local_rank`."""
    return tuple(keys[local_rank::local_size])


def build_key_lists(manifest: Manifest, *, root: str, local_size: int) -> dict[str, bytes]:
    """Return all lists of a data set for instances of `local_size` ranks, by their keys.

    Args:
        manifest: manifest of the data set.
        root: URI of the data set, without a ``/`` at the end.
        local_size: number of ranks of an instance.

    Raises:
        OptionsError: a split's number of shards is not divisible by `local_size`, or two lists would have the same
            key; also as `format_key_list`.
    """
    lists: dict[str, bytes] = {}
    for split, entry in manifest.splits.items():
        keys = [shard.key for shard in entry.shards]
        if not keys or len(keys) % local_size:
            raise OptionsError(
                f"split {split!r}: expected shards that divide by the {local_size} ranks of an instance, found "
                f"{len(keys)}"
            )
        shares: dict[int | None, Sequence[str]] = {None: keys}
        for rank in range(local_size):
            shares[rank] = keys_of_local_rank(keys, local_rank=rank, local_size=local_size)
        for rank_or_all, share in shares.items():
            name = channel_manifest_key(split, local_size=local_size, local_rank=rank_or_all)
            if name in lists:
                raise OptionsError(
                    f"split {split!r}: expected names of splits that do not differ in digits at their end alone, since "
                    f"the list {name} would be that of another split's local rank too; name the split differently"
                )
            lists[name] = format_key_list([f"{root}/{key}" for key in share])
    return lists


def key_lists_of(store: Store, manifest: Manifest, *, local_size: int) -> dict[str, bytes]:
    """Return the lists that a data set in S3 has beside its manifest, by key; empty for other stores."""
    if find_scheme(store.uri) != "s3":
        return {}
    try:
        return build_key_lists(manifest, root=store.uri, local_size=local_size)
    except OptionsError:
        return {}  # The data set is valid without lists; `shardpack sagemaker` says why there are none.


def key_list_faults(store: Store, manifest: Manifest) -> Iterator[str]:
    """Yield the faults of the lists that a data set has. It is no fault to have none.

    Lists of a data set in S3 must name its own shards. Lists of a copy in another store may name shards anywhere in S3.
    """
    found = {info.key for info in store.list(SAGEMAKER_PREFIX)}
    sizes = {int(match[1]) for key in found if (match := _LOCAL_SIZE.match(key))}
    for local_size in sorted(sizes):
        folder = f"{SAGEMAKER_PREFIX}L{local_size}/"
        present = {key for key in found if key.startswith(folder)}
        yield from _folder_faults(store, manifest, local_size, present)


def _folder_faults(store: Store, manifest: Manifest, local_size: int, present: set[str]) -> Iterator[str]:
    remedy = "write it anew: shardpack sagemaker DEST ... `upload=True`"
    root = store.uri if find_scheme(store.uri) == "s3" else _root_of_lists(store, manifest, present)
    try:
        expected: Mapping[str, bytes] = build_key_lists(manifest, root=root, local_size=local_size)
    except OptionsError as error:
        yield f"{SAGEMAKER_PREFIX}L{local_size}/: no list can be right: {error}; remove the folder"
        return
    for key in sorted(expected.keys() | present):
        if key not in present:
            yield f"{key}: is missing; {remedy}"
        elif key not in expected:
            yield f"{key}: is no list of this data set; remove it"
        elif store.get(key) != expected[key]:
            yield f"{key}: expected the shards of {root}, found another list; {remedy}"


def _root_of_lists(store: Store, manifest: Manifest, present: set[str]) -> str:
    """Return the URI of the data set whose shards a copy's lists name; the copy's own URI if they name none."""
    first = next(iter(manifest.splits.values())).shards[0].key
    for key in sorted(present):
        for uri in parse_key_list(store.get(key), name=key):
            if uri.endswith("/" + first):
                return uri.removesuffix("/" + first)
    return store.uri


def _check_uri(uri: str) -> None:
    if len(uri) > MAX_URI_CHARS:
        raise OptionsError(f"{uri}: expected at most {MAX_URI_CHARS} characters in a URI, got {len(uri)}")
    avoided = _AVOIDED.search(uri)
    if avoided is not None:
        raise OptionsError(
            f"{uri}: expected no character that AWS advises against in keys, got {avoided[0]!r}; copy the data set to "
            "a prefix of letters, digits and -_.=/"
        )
    if _URI.fullmatch(uri) is None or "/../" in uri or "/./" in uri:
        raise OptionsError(f"{uri}: expected s3://bucket/key without empty parts, to be read by SageMaker")


def _common_folder(uris: Sequence[str]) -> str:
    """Return the longest common prefix of all URIs that ends in ``/``."""
    first, last = min(uris), max(uris)
    length = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[: first.rindex("/", 0, length) + 1]
