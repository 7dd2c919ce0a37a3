"""What ranks and data hosts say to each other: one request for a batch, and one answer.

A request holds all that decides a batch, so a data host keeps nothing between two of them, and any data host of the
same data set gives the same answer.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from packer.errors import DataSetError, NewerVersionError, OptionsError, PackerError
from packer.loading.loader_spec import BatchPlace, LoaderSpec
from packer.loading.record_order import ORDER_VERSION

FEED_VERSION = 1

CHECK = "check"
"""Compare what a rank is about to ask for; the body is a FeedRequest without a place."""
BEAT = "beat"
"""Show that somebody still wants batches, and that the data host runs."""
FINISH = "finish"
"""The training is over: the data host ends."""
STATISTICS = "statistics"
"""Return HostStatistics as JSON."""
TOKEN_HEADER = "authorization"
_MOST_CHARS = 2000
"""Of an error: it travels in a header."""

_T = TypeVar("_T")


class FeedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A batch, or without a place the question whether a data host can make such batches."""

    version: int = FEED_VERSION
    manifest_digest: str
    order_version: int = ORDER_VERSION
    num_lanes: int
    steps: int
    """Batches of a whole epoch."""
    label_values: int
    decoder_id: str
    spec: LoaderSpec
    place: BatchPlace | None = None


class FeedProblem(msgspec.Struct, frozen=True, kw_only=True):
    """Why a data host does not answer with a batch."""

    text: str
    is_refusal: bool
    """It is another one's data host: asking it again is of no use."""
    exit_code: int = 1


class RankStatistics(msgspec.Struct, kw_only=True):
    """What a data host made for one rank."""

    split: str
    rank: int
    world: int
    batches: int = 0
    images: int = 0
    num_bytes: int = 0
    store_s: float = 0.0
    """Seconds of all threads spent on reading records."""
    decode_s: float = 0.0


class HostStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What a data host made since it was started."""

    ranks: tuple[RankStatistics, ...]
    given_up: int
    """Batches that nobody waited for any more."""
    failed: int

    @property
    def batches(self) -> int:
        return sum(rank.batches for rank in self.ranks)

    @property
    def images(self) -> int:
        return sum(rank.images for rank in self.ranks)


class _Versioned(msgspec.Struct, frozen=True):
    version: int


def encode(value: msgspec.Struct) -> bytes:
    """Return a value as it is sent."""
    return msgspec.msgpack.encode(value)


def decode_request(data: bytes) -> FeedRequest:
    """Return a request. Raises NewerVersionError, or OptionsError where it is none."""
    version = _decode(data, _Versioned).version
    if version != FEED_VERSION:
        raise NewerVersionError(
            f"expected version {FEED_VERSION} of the feed's requests, got {version}: the rank and the data host have "
            "other releases of shardpack; install the same one on both"
        )
    return _decode(data, FeedRequest)


def problem_of(error: PackerError, *, is_refusal: bool) -> bytes:
    """Return an error as it is sent."""
    text = str(error)[:_MOST_CHARS]
    return encode(FeedProblem(text=text, is_refusal=is_refusal, exit_code=error.exit_code))


def decode_problem(data: bytes | None) -> FeedProblem | None:
    """Return why a data host refused; None where it did not say so."""
    try:
        return msgspec.msgpack.decode(data or b"", type=FeedProblem)
    except msgspec.DecodeError:
        return None


def error_of(host: object, problem: FeedProblem) -> PackerError:
    """Return the error for a rank's user."""
    kind = OptionsError if problem.exit_code == OptionsError.exit_code else DataSetError
    return kind(f"data host {host}: {problem.text}")


def _decode(data: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise OptionsError(f"expected a request of a shardpack loader, but {error}") from None
