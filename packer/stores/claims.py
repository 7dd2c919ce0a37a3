"""Writing to a place that other runs may take over: shared by stores that know an object by a tag.

A look at the claim before each write is not enough, since a run may sleep between the two, or its request may. So an
object is only ever created, or replaced as the one that it was before the claim was looked at: what a later run has
put under the key has another tag.
"""

from __future__ import annotations

from typing import Protocol

from packer.errors import StoreError
from packer.stores.store import Buffers

_MAX_ROUNDS = 20
"""Of several writers of the same key one gets on in each."""


class TaggedPlace(Protocol):
    """A store that can write conditionally; each attempt looks at the claim first."""

    @property
    def uri(self) -> str:
        """See `Store.uri`."""

    def put_if_absent(self, key: str, buffers: Buffers) -> bool:
        """See `Store.put_if_absent`."""

    def put_if_same(self, key: str, buffers: Buffers, tag: str) -> bool:
        """See `Store.put_if_same`."""

    def find_tag(self, key: str) -> str:
        """Return an object's tag; empty where there is no such object."""


def put_claimed(place: TaggedPlace, key: str, buffers: Buffers) -> None:
    """Write an object whole for the run that owns the place.

    Raises:
        ClaimLostError: another run owns it.
        OSError: it cannot be written.
    """
    for _ in range(_MAX_ROUNDS):
        if place.put_if_absent(key, buffers):
            return
        tag = place.find_tag(key)
        if tag and place.put_if_same(key, buffers, tag):
            return
    raise StoreError(f"{place.uri}/{key}: it was written by others each time it was to be replaced; try again")
