"""The one interface to places that hold objects: a folder, a bucket, memory.

Keys are relative to the store's root, with ``/`` between parts. Writes are atomic and whole: a reader sees the old
object, the new one or none, never a part.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol, TypeAlias

import msgspec

Buffers: TypeAlias = "Sequence[bytes | memoryview]"
"""The content of an object as buffers that follow one another."""


class ObjectNotFoundError(FileNotFoundError):
    """There is no object under this key."""


class ObjectChangedError(OSError):
    """An object is no longer the one that was listed."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One listed object."""

    key: str
    num_bytes: int
    etag: str = ""
    """Changes with the object's content, where the store has such a thing; without quotes."""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What makes a destination one run's own: shown with each of its writes, and sent to its workers."""

    key: str = ""
    """Of the object that says whose the destination is."""
    tag: str = ""
    """Of that object as the run left or found it, in a store whose writes compare it; otherwise empty."""
    folder: str = ""
    """Where the run's temporary files lie, in a store that has such; otherwise empty."""


NO_CLAIM = Claim()


@dataclass(frozen=True, slots=True)
class Tagged:
    """The content of an object, and a tag that another write of the key would change."""

    data: bytes
    tag: str


class Store(Protocol):
    """A root under which objects lie. Instances belong to one process and are never pickled; their `uri` is."""

    @property
    def uri(self) -> str:
        """Absolute path or URI of the root; `open_store` makes an equal store from it."""

    @property
    def read_ahead(self) -> int:
        """Reads that are worth having in flight at a time: few where each waits for a disk, many for a network."""

    @property
    def is_near(self) -> bool:
        """Whether reads are often answered at once, from this machine's memory."""

    def get(self, key: str, etag: str = "") -> bytes:
        """Return an object's bytes.

        With `etag`, as the same store's `list` gave it, the object must be the one that was listed then.

        Raises:
            ObjectNotFoundError: there is no such object.
            ObjectChangedError: it is another one.
            OSError: it cannot be read.
        """

    def get_range(self, key: str, start: int, stop: int, etag: str = "") -> bytes:
        """Return the bytes ``[start, stop)`` of an object; fewer where it ends before. `etag` and errors: as `get`."""

    def view(self, key: str) -> memoryview:
        """Return an object's bytes as a view that may be backed by the file itself. Raises as `get`."""

    def open(self, key: str) -> BinaryIO:
        """Return an object's bytes as a stream to be read from start to end; it can seek. Raises as `get`."""

    def put(self, key: str, buffers: Buffers) -> None:
        """Write an object whole, replacing one that is there. Raises OSError."""

    def put_if_absent(self, key: str, buffers: Buffers) -> bool:
        """Write an object unless one is there; return whether it was written. Raises OSError."""

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield the objects whose key starts with `prefix`, in no particular order."""

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""

    def delete_all(self, keys: Iterable[str]) -> None:
        """Remove objects, many at a time; one that is not there is no error.

        Raises:
            OSError: some could not be removed; the text names one of them, and others may be there still.
        """

    def sweep(self) -> None:
        """Remove what interrupted writes left behind: those of this claim, or all in a store without one."""

    # Whose the destination is. The store of a claim writes and deletes as above, and raises ClaimLostError instead once
    # another run has taken the destination over, even if it slept through that. (In S3 and its like a request that was
    # under way may still remove objects, or add one where there is none; it replaces none.)

    @property
    def claim(self) -> Claim:
        """The claim that writes are made under."""

    def claimed(self, claim: Claim) -> Store:
        """Return the same place for writes under a claim."""

    def check_claim(self) -> None:
        """Raise ClaimLostError where another run has taken the destination over."""

    def get_tagged(self, key: str) -> Tagged:
        """Return an object's bytes and tag. Raises as `get`."""

    def put_if_same(self, key: str, buffers: Buffers, tag: str) -> bool:
        """Replace an object whose tag is still this one; return whether it was. Raises OSError."""

    def open_folder(self, name: str, *, is_new: bool) -> str:
        """Make a folder for the temporary files of a claim, or find one unless `is_new`; return it for the claim.

        Its name begins with `name`. Empty in a store that has no temporary files.
        """

    def end_others(self, name: str = "") -> None:
        """Take their folders away from other claims whose names begin with `name`: their writes fail from now on."""

    def end_claim(self) -> None:
        """Remove the folder of a claim whose work is done."""
