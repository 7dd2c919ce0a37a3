"""Batches of a loader as NDArrays of MXNet, copied to their context."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from packer.extras import require_extra

if TYPE_CHECKING:
    from packer.loading.loader import Loader


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MxnetBatch:
    """Samples of one rank and step."""

    images: Any
    """uint8 [batch, px, px, 3] in RGB; ``images.transpose((0, 3, 1, 2))`` is what Gluon's layers take by default."""
    labels: Any
    """int64 [batch], or float32 [batch, n] where they are vectors."""
    weights: Any
    """float32 [batch]: 1, or 0 for what fills up the last batches of an evaluation."""
    epoch: int
    step: int
    num_samples: int


def mxnet_batches(loader: Loader, context: Any = None) -> Iterator[MxnetBatch]:
    """Yield the loader's batches from where it stands, in a context such as ``mxnet.gpu(0)``; None for the current one.

    Raises, at the first batch, MissingExtraError where MXNet is not installed, and else as the loader's iterator.
    """
    mxnet = import_mxnet()
    for batch in loader:
        began_s = time.perf_counter()
        images, labels, weights = (
            mxnet.nd.array(values, ctx=context, dtype=values.dtype)
            for values in (batch.images, batch.labels, batch.weights)
        )
        # MXNet copies when it comes to it; the slot is needed until then.
        images.wait_to_read()
        loader.count_hand_over(time.perf_counter() - began_s)
        yield MxnetBatch(
            images=images,
            labels=labels,
            weights=weights,
            epoch=batch.epoch,
            step=batch.step,
            num_samples=batch.num_samples,
        )


def import_mxnet() -> Any:
    """Return MXNet. Raises MissingExtraError where it is not installed."""
    return require_extra("mxnet", "mxnet", purpose="batches of NDArrays")
