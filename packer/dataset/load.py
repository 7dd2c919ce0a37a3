"""Opening a finished data set."""

from __future__ import annotations

from itertools import islice
from typing import Literal, overload

import msgspec

from packer.dataset.document import decode_document
from packer.dataset.manifest import Manifest, decode_manifest
from packer.errors import DataSetError, NotADataSetError
from packer.planning.layout import LABELS_KEY, MANIFEST_KEY, PLAN_KEY
from packer.stores.store import ObjectNotFoundError, Store

_MAX_LOOKED_AT = 1000
_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")


class LabelsDocument(msgspec.Struct, frozen=True, kw_only=True):
    """`meta/labels.json`."""

    kind: str
    num_classes: int
    names: dict[str, str]
    """Class id to name; empty where classes have no names."""


def load_labels(store: Store) -> tuple[str, ...]:
    """Return the class names of a data set by class id; empty without names. Raises DataSetError."""
    name = f"{store.uri}/{LABELS_KEY}"
    try:
        data = store.get(LABELS_KEY)
    except ObjectNotFoundError:
        raise DataSetError(f"{name}: is missing, so the names of the classes are not known") from None
    names = decode_document(data, LabelsDocument, name=name, remedy="restore it or pack anew").names
    if any(str(index) not in names for index in range(len(names))):
        raise DataSetError(f"{name}: expected a name for each class id from 0, got {sorted(names)[:5]}")
    return tuple(names[str(index)] for index in range(len(names)))


def _next_step(store: Store) -> str:
    """Return what to do about a place without a manifest, by what else is there."""
    try:
        if any(info.key == PLAN_KEY for info in store.list(PLAN_KEY)):
            return "an unfinished run is there: the same command with `resume=True` finishes it, or commit after parts"
        keys = sorted(info.key for info in islice(store.list(), _MAX_LOOKED_AT))
    except OSError:
        return "make one with pack"
    if not keys:
        return "nothing is there: look at the path, or make one with pack"
    image = next((key for key in keys if key.lower().endswith(_IMAGE_SUFFIXES)), None)
    if image is not None:
        return f"it holds images such as {image}, which pack makes a data set of"
    return f"it holds other files, such as {keys[0]}: name the folder that manifest.json lies in, or make one with pack"


@overload
def load_manifest(store: Store, *, missing_ok: Literal[False] = False) -> Manifest: ...
@overload
def load_manifest(store: Store, *, missing_ok: Literal[True]) -> Manifest | None: ...
def load_manifest(store: Store, *, missing_ok: bool = False) -> Manifest | None:
    """Return the manifest at a store's root; None for a missing one if `missing_ok`.

    Raises:
        NotADataSetError: there is no manifest.
        DataSetError: it cannot be read, was edited, or contradicts itself.
    """
    try:
        data = store.get(MANIFEST_KEY)
    except ObjectNotFoundError:
        if missing_ok:
            return None
        raise NotADataSetError(
            f"{store.uri}: expected a finished data set, found no {MANIFEST_KEY}; {_next_step(store)}"
        ) from None
    return decode_manifest(data, name=f"{store.uri}/{MANIFEST_KEY}")
