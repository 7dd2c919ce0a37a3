"""Checks whether a loader can resume from a saved state."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import TypeAlias

from packer.errors import OptionsError
from packer.loading.loader_spec import LoaderSpec, LoaderState
from packer.loading.record_order import ORDER_VERSION

HostShares: TypeAlias = Collection[Sequence[int]]
"""`Loader.share` of each host, or of each rank, in any order."""

_LOGGER = logging.getLogger(__name__)


def sort_shares(shares: HostShares) -> tuple[tuple[int, ...], ...]:
    """Return each share once, sorted, so that the result does not depend on the order of hosts."""
    return tuple(sorted({tuple(sorted(share)) for share in shares}))


def check_state(state: LoaderState, spec: LoaderSpec, *, manifest_digest: str, decoder_id: str) -> None:
    """Check that a state's position is valid for a loader. Warn if only pixels differ. Raises OptionsError."""
    expected = (
        ("the data set (digest of manifest.json)", state.manifest_digest, manifest_digest),
        ("split", state.split, spec.split),
        ("seed", state.seed, spec.seed),
        ("the version of the order", state.order_version, ORDER_VERSION),
        ("shuffle_records", state.shuffle_records, spec.shuffle_records),
    )
    for name, theirs, ours in expected:
        if theirs != ours:
            raise OptionsError(
                f"state: {name}: it was saved with {theirs!r}, this loader has {ours!r}, so its position means "
                "nothing here; open the loader as it was then, or begin without the state"
            )
    if state.spec_digest != spec.pixels_digest(decoder_id):
        _LOGGER.warning(
            "state: image size, crops, decoder or transform differ from those it was saved with: samples come in "
            "the same order, with other pixels"
        )
