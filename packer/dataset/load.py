"""Opening a finished data set."""

from __future__ import annotations

from typing import Literal, overload

from packer.dataset.model import Manifest, decode_manifest
from packer.errors import OptionsError
from packer.planning.names import MANIFEST_KEY
from packer.stores.base import ObjectNotFoundError, Store


class NotADataSetError(OptionsError):
    """The folder or prefix holds no finished data set."""


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
            f"{store.uri}: expected a finished data set, but there is no {MANIFEST_KEY}; an interrupted run is "
            f"finished by the same pack command with --resume"
        ) from None
    return decode_manifest(data, name=f"{store.uri}/{MANIFEST_KEY}")
