"""Opening a finished data set."""

from __future__ import annotations

from typing import Literal, overload

import msgspec

from packer.dataset.document import decode_document
from packer.dataset.manifest import Manifest, decode_manifest
from packer.errors import DataSetError, NotADataSetError
from packer.planning.layout import LABELS_KEY, MANIFEST_KEY
from packer.stores.store import ObjectNotFoundError, Store


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
            f"{store.uri}: expected a finished data set, found no {MANIFEST_KEY}; an interrupted run is "
            f"finished by the same pack command with `resume=True`"
        ) from None
    return decode_manifest(data, name=f"{store.uri}/{MANIFEST_KEY}")
