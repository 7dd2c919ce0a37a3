"""Batches of a loader as MXNet NDArrays in a given context."""

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
    """The samples of one rank in one step."""

    images: Any
    """uint8 [batch, px, px, 3] in RGB. Gluon's layers by default take ``images.transpose((0, 3, 1, 2))``."""
    labels: Any
    """int64 [batch]: class ids; float32 [batch, n] if labels are vectors."""
    weights: Any
    """float32 [batch]: 1 for a sample, 0 for one that only fills up an evaluation's last batches."""
    epoch: int
    step: int
    num_samples: int


def mxnet_batches(loader: Loader, context: Any = None) -> Iterator[MxnetBatch]:
    """Yield the loader's batches from its position on, in a context such as ``mxnet.gpu(0)``; None: the current one.

    Raises as the loader's iterator and, at the first batch, MissingExtraError if MXNet is not installed.
    """
    mxnet = import_mxnet()
    for batch in loader:
        began_s = time.perf_counter()
        images, labels, weights = (
            mxnet.nd.array(values, ctx=context, dtype=values.dtype)
            for values in (batch.images, batch.labels, batch.weights)
        )
        # MXNet copies later, in a thread of its own, and needs the slot until then.
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
    """Import and return MXNet. Raises MissingExtraError if it is not installed."""
    return require_extra("mxnet", "mxnet", purpose="batches of NDArrays")
