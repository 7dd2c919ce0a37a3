"""WebDataset: tar archives whose members belong together by their names, each group one sample.

    0001.jpg  0001.cls  0001.json  0002.jpg  0002.cls  0002.json ...

A member's name up to the first dot of its last part is the key of its sample, and the rest its kind. Images are left
where they lie, as those of other archives; ``.cls``, ``.txt`` and ``.json`` are read when the archives are listed.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc

from packer.errors import SourceError
from packer.shown_text import counted
from packer.sources.archivefiles import ArchiveFile, open_local, open_remote
from packer.sources.archives import MAX_MEMBER_BYTES
from packer.sources.fieldcolumns import PICTURES
from packer.sources.image_names import clean_member, is_hidden, is_image
from packer.sources.items import KEY, Listing, SourceSpec
from packer.sources.members import FoundMember
from packer.sources.samplefields import FIELD_KINDS, ArchiveSamples, build_sample_listing, sample_row, sample_schema
from packer.sources.scan import FoundRows
from packer.sources.tars import iter_tar
from packer.stores.open_store import absolute_uri, is_local, open_store
from packer.stores.store import ObjectInfo, Store

_NUM_ARCHIVES = 8
"""Archives that are read at a time in a remote place."""
_NUM_LOOKED_AT = 64
"""Members of the first archive by which the layout is told."""
_MAX_FIELD_BYTES = 1_000_000
_MAX_SEQUENCE = 1_000_000
_SEQUENCE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_ASIDE = (".json", ".txt", ".idx", ".md", ".yaml", ".yml")
"""Endings of what tools write beside the archives."""


@dataclass(frozen=True, slots=True)
class TarFiles:
    """Archives of one source, in the order of their samples."""

    store: Store
    infos: tuple[ObjectInfo, ...]


@dataclass(slots=True)
class _Sample:
    """The members of one key, as they come."""

    key: str
    image: FoundMember | None = None
    pictures: dict[str, FoundMember] = field(default_factory=dict)
    fields: dict[str, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class _Counts:
    """What was passed over in an archive."""

    skipped: Counter[str] = field(default_factory=Counter)
    num_without_image: int = 0
    num_hidden: int = 0


@dataclass(frozen=True, slots=True)
class _ReadArchive:
    """What one archive holds."""

    samples: ArchiveSamples
    counts: _Counts


def find_webdataset(spec: SourceSpec) -> TarFiles | None:
    """Return the archives of a source in this layout: one ``.tar``, a sequence ``{0000..0099}``, or a folder of them.

    It is the layout if, among the first members of the first archive, an image has a ``.cls`` of its key beside it, or,
    outside of folders, which might be classes, a ``.txt`` or ``.json``. None for every other source.

    Raises:
        SourceError: an archive of a sequence is not there, or one is damaged.
    """
    uri = absolute_uri(spec.source)
    files = _find_sequence(spec, uri) if _SEQUENCE.search(uri) else _find_tars(spec, uri)
    if files is None or not files.infos:
        return None
    with _open(files, files.infos[0]) as file:
        names = [member.name for member in islice(iter_tar(file), _NUM_LOOKED_AT)]
    images = {_split(name)[0] for name in names if is_image(name)}
    classes = {key for key, kind in map(_split, names) if kind == "cls"}
    fields = {key for key, kind in map(_split, names) if kind in FIELD_KINDS and "/" not in key}
    return files if images & (classes | fields) or _SEQUENCE.search(uri) else None


def list_webdataset(spec: SourceSpec, files: TarFiles) -> Listing:
    """List the samples of archives that `find_webdataset` found.

    Raises:
        SourceError: a damaged archive, a key or a kind twice, a field that cannot be read, or no image at all.
    """
    wanted = frozenset(field.column for field in spec.fields if field.kind in PICTURES)
    if is_local(files.store.uri):
        found = [_read_archive(files, info, wanted) for info in files.infos]
    else:
        with ThreadPoolExecutor(_NUM_ARCHIVES) as threads:
            found = list(threads.map(lambda info: _read_archive(files, info, wanted), files.infos))
    skipped = sum((archive.counts.skipped for archive in found), Counter[str]())
    num_without = sum(archive.counts.num_without_image for archive in found)
    num_hidden = sum(archive.counts.num_hidden for archive in found)
    notices = []
    if num_hidden:
        notices.append(f"skipped {counted(num_hidden, 'hidden or system entry', 'hidden or system entries')}")
    if skipped:
        kinds = ", ".join(f"{number:,} .{kind}" for kind, number in sorted(skipped.items())[:10])
        notices.append(f"skipped {counted(sum(skipped.values()), 'member')} beside the images: {kinds}")
    if num_without:
        notices.append(f"skipped {counted(num_without, 'sample')} without an image")
    if not any(archive.samples.rows.num_rows for archive in found):
        told = "".join(f"; {notice}" for notice in notices)
        raise SourceError(f"{spec.source}: nothing in it: expected samples with an image{told}")
    listing = build_sample_listing(spec, files.store.uri, [archive.samples for archive in found])
    return replace(listing, notices=(*notices, *listing.notices))


def _find_sequence(spec: SourceSpec, uri: str) -> TarFiles | None:
    """Return the archives of a sequence such as ``set-{0000..0099}.tar``."""
    match = _SEQUENCE.search(uri)
    if match is None or not uri.endswith(".tar"):
        return None
    first, last, width = int(match[1]), int(match[2]), len(match[1])
    if not first <= last < first + _MAX_SEQUENCE:
        raise SourceError(f"{spec.source}: expected a sequence such as {{0000..0099}}, got {match[0]}")
    folder, _, pattern = uri.rpartition("/")
    head, tail = pattern[: match.start() - len(folder) - 1], pattern[match.end() - len(folder) - 1 :]
    store = open_store(folder, spec.store)
    known = {info.key: info for info in store.list(head) if "/" not in info.key}
    wanted = [f"{head}{number:0{width}}{tail}" for number in range(first, last + 1)]
    missing = [name for name in wanted if name not in known]
    if missing:
        raise SourceError(
            f"{spec.source}: {len(missing):,} of {len(wanted):,} archives are not there, such as {missing[0]}; mend "
            "the sequence, or bring them"
        )
    return TarFiles(store, tuple(known[name] for name in wanted))


def _find_tars(spec: SourceSpec, uri: str) -> TarFiles | None:
    """Return one archive, or those of a folder that holds nothing else but what lies beside them."""
    if uri.endswith(".tar"):
        if is_local(uri) and not os.path.isfile(uri):
            return None
        folder, _, name = uri.rpartition("/")
        store = open_store(folder, spec.store)
        return TarFiles(store, tuple(info for info in store.list(name) if info.key == name))
    if is_local(uri) and not _holds_tar(uri):
        return None
    if "." in uri.rpartition("/")[2] and not is_local(uri):
        return None
    store, infos = open_store(uri, spec.store), []
    for info in store.list():
        name = info.key.rpartition("/")[2]
        if is_hidden(info.key.split("/")[0]) or name.endswith(_ASIDE):
            continue
        if "/" in info.key or not name.endswith(".tar"):
            return None
        infos.append(info)
    return TarFiles(store, tuple(sorted(infos, key=lambda info: info.key)))


def _holds_tar(folder: str) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(entry.name.endswith(".tar") for entry in entries)
    except OSError:
        return False


def _open(files: TarFiles, info: ObjectInfo) -> AbstractContextManager[ArchiveFile]:
    if is_local(files.store.uri):
        return open_local(f"{files.store.uri}/{info.key}")
    return _OpenRemote(files.store, info)


class _OpenRemote(AbstractContextManager[ArchiveFile]):
    """A remote archive with threads of its own to read it."""

    def __init__(self, store: Store, info: ObjectInfo) -> None:
        self._threads = ThreadPoolExecutor(4)
        self._file = open_remote(store, info, self._threads)

    def __enter__(self) -> ArchiveFile:
        return self._file.__enter__()

    def __exit__(self, *error: object) -> bool | None:
        try:
            return self._file.__exit__(*error)  # type: ignore[arg-type]
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)


def _read_archive(files: TarFiles, info: ObjectInfo, kinds: Set[str]) -> _ReadArchive:
    found = _Counts()
    keys = FoundRows(pa.schema([(KEY, pa.large_string())]), info.key)
    rows = FoundRows(sample_schema(kinds), info.key)
    with _open(files, info) as file:
        for sample in _iter_samples(file, found, kinds):
            keys.append((sample.key,))
            if sample.image is None:
                found.num_without_image += 1
            else:
                rows.append(sample_row(sample.image, sample.fields, sample.pictures, kinds))
        _refuse_repeats(file.name, keys.table().column(KEY))
    return _ReadArchive(ArchiveSamples(info.key, info.etag, rows.table()), found)


def _refuse_repeats(archive: str, keys: pa.ChunkedArray) -> None:
    """Raise SourceError for a sample whose members stand in two places."""
    last = max(0, len(keys) - 1)
    if pc.all(pc.less(keys.slice(0, last), keys.slice(1))).as_py():
        return
    ordered = keys.take(pc.sort_indices(keys))
    repeated = ordered.slice(1).filter(pc.equal(ordered.slice(0, last), ordered.slice(1)))
    if len(repeated):
        raise SourceError(f"{archive}: the sample {repeated[0].as_py()!r} stands in two places; write the archive anew")


def _iter_samples(file: ArchiveFile, found: _Counts, kinds: Set[str]) -> Iterator[_Sample]:
    sample: _Sample | None = None
    for member in iter_tar(file):
        name = _clean(file, member)
        if any(is_hidden(part) for part in name.split("/")):
            found.num_hidden += 1
            continue
        key, kind = _split(name)
        if sample is None or sample.key != key:
            if sample is not None:
                yield sample
            sample = _Sample(key)
        member = member._replace(name=name)
        if kind in kinds:
            _take_picture(file, sample, member, kind)
        else:
            _take(file, sample, member, kind, found.skipped)
    if sample is not None:
        yield sample


def _take(file: ArchiveFile, sample: _Sample, member: FoundMember, kind: str, skipped: Counter[str]) -> None:
    where = f"{file.name}: the member {member.name!r}"
    if kind in FIELD_KINDS:
        if kind in sample.fields:
            raise SourceError(f"{where} appears more than once; write the archive anew")
        if member.fault or member.num_bytes > _MAX_FIELD_BYTES:
            raise SourceError(f"{where} {member.fault or f'is larger than {_MAX_FIELD_BYTES:,} bytes'}")
        sample.fields[kind] = file.read(member.offset_bytes, member.num_bytes)
    elif "." not in kind and is_image(f".{kind}") and sample.image is None:
        if member.fault or member.num_bytes > MAX_MEMBER_BYTES:
            raise SourceError(f"{where} {member.fault or f'is larger than {MAX_MEMBER_BYTES:,} bytes'}")
        sample.image = member
    else:
        skipped[kind or "without a suffix"] += 1


def _take_picture(file: ArchiveFile, sample: _Sample, member: FoundMember, kind: str) -> None:
    where = f"{file.name}: the member {member.name!r}"
    if kind in sample.pictures:
        raise SourceError(f"{where} appears more than once; write the archive anew")
    if member.fault or member.num_bytes > MAX_MEMBER_BYTES:
        raise SourceError(f"{where} {member.fault or f'is larger than {MAX_MEMBER_BYTES:,} bytes'}")
    sample.pictures[kind] = member


def _clean(file: ArchiveFile, member: FoundMember) -> str:
    try:
        return clean_member(member.name)
    except ValueError as error:
        name = ascii(member.name)[1:-1]
        raise SourceError(f"{file.name}: the member {name!r} {error}; write the archive anew") from None


def _split(name: str) -> tuple[str, str]:
    """Return the key of a member's sample, and its kind in lower case."""
    folder, slash, last = name.rpartition("/")
    stem, _, kind = last.partition(".")
    return f"{folder}{slash}{stem}", kind.lower()
