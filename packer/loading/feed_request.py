"""Messages between ranks and data hosts: one request for each batch, and one answer.

A request holds everything that decides a batch. So a data host keeps no state between requests, and all data hosts of
a data set give the same answer.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from packer.errors import DataSetError, NewerVersionError, OptionsError, PackerError
from packer.loading.loader_spec import BatchPlace, LoaderSpec
from packer.loading.record_order import ORDER_VERSION

FEED_VERSION = 1

CHECK = "check"
"""Action: can the data host make such batches? The body is a FeedRequest without a place."""
BEAT = "beat"
"""Action: a sign of life in both directions."""
FINISH = "finish"
"""Action: the training is over, and the data host ends."""
STATISTICS = "statistics"
"""Action: return HostStatistics as JSON."""
TOKEN_HEADER = "authorization"
_MOST_CHARS = 2000
"""Limit of an error's text, since it is sent in a header."""

_T = TypeVar("_T")


class FeedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request for a batch; without a place, the question whether a data host can make such batches."""

    version: int = FEED_VERSION
    manifest_digest: str
    order_version: int = ORDER_VERSION
    num_lanes: int
    steps: int
    """Number of batches in an epoch."""
    label_values: int
    decoder_id: str
    spec: LoaderSpec
    place: BatchPlace | None = None


class FeedProblem(msgspec.Struct, frozen=True, kw_only=True):
    """The reason why a data host does not answer with a batch."""

    text: str
    is_refusal: bool
    """The host can never make such batches, so asking again is useless."""
    exit_code: int = 1


class RankStatistics(msgspec.Struct, kw_only=True):
    """Counts of what a data host made for one rank and split."""

    split: str
    rank: int
    world: int
    batches: int = 0
    images: int = 0
    num_bytes: int = 0
    store_s: float = 0.0
    """Seconds, summed over threads, spent on reading records."""
    decode_s: float = 0.0
    """Seconds, summed over threads, spent on decoding and scaling."""


class HostStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of what a data host made since its start."""

    ranks: tuple[RankStatistics, ...]
    given_up: int
    """Batches that were not made because no rank waited for them any more."""
    failed: int
    """Batches that could not be made."""

    @property
    def batches(self) -> int:
        return sum(rank.batches for rank in self.ranks)

    @property
    def images(self) -> int:
        return sum(rank.images for rank in self.ranks)


class _Versioned(msgspec.Struct, frozen=True):
    version: int


def encode(value: msgspec.Struct) -> bytes:
    """Return a value as MessagePack."""
    return msgspec.msgpack.encode(value)


def decode_request(data: bytes) -> FeedRequest:
    """Parse a request. Raises NewerVersionError for another version, OptionsError if the bytes are no request."""
    version = _decode(data, _Versioned).version
    if version != FEED_VERSION:
        raise NewerVersionError(
            f"expected version {FEED_VERSION} of the feed's requests, got {version}: the rank and the data host have "
            "other releases of shardpack; install the same one on both"
        )
    return _decode(data, FeedRequest)


def problem_of(error: PackerError, *, is_refusal: bool) -> bytes:
    """Return an error as a FeedProblem in MessagePack."""
    text = str(error)[:_MOST_CHARS]
    return encode(FeedProblem(text=text, is_refusal=is_refusal, exit_code=error.exit_code))


def decode_problem(data: bytes | None) -> FeedProblem | None:
    """Return the problem that a data host reported; None if the bytes hold none."""
    try:
        return msgspec.msgpack.decode(data or b"", type=FeedProblem)
    except msgspec.DecodeError:
        return None


def error_of(host: object, problem: FeedProblem) -> PackerError:
    """Return the error that a rank raises for a data host's problem."""
    kind = OptionsError if problem.exit_code == OptionsError.exit_code else DataSetError
    return kind(f"data host {host}: {problem.text}")


def _decode(data: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise OptionsError(f"expected a request of a shardpack loader, but {error}") from None
