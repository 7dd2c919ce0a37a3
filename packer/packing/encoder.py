"""The encoder of this process: told to the one that plans, and held against the plan by those that pack.

Only workers load the image libraries, so the process that plans asks one of them. Each worker encodes the built-in
images once.
"""

from __future__ import annotations

import functools

from packer.engines.engine import Tick
from packer.errors import EncoderMismatchError
from packer.imaging.values import EncoderFingerprint
from packer.specs import ImageSpec


def report_encoder(spec: ImageSpec, task: int, tick: Tick) -> EncoderFingerprint:
    """Return the fingerprint of the process that runs the task."""
    from packer.imaging.fingerprint import encoder_fingerprint

    return encoder_fingerprint(spec, sha256=_own_digest(spec))


@functools.lru_cache(maxsize=4)
def _own_digest(spec: ImageSpec) -> str:
    from packer.imaging.fingerprint import encoder_digest

    return encoder_digest(spec)


def check_encoder(spec: ImageSpec, expected: EncoderFingerprint) -> None:
    """Compare this process's encoder with the plan's. Raises EncoderMismatchError naming both versions."""
    if _own_digest(spec) == expected.sha256:
        return
    found = report_encoder(spec, 0, lambda num_items, num_bytes: None)
    raise EncoderMismatchError(
        f"this worker's image libraries give other bytes than those that made the plan: expected "
        f"{_versions(expected)}, found {_versions(found)}{_missing(expected, found)}; install the same versions, "
        f"from the same place, everywhere"
    )


def _versions(encoder: EncoderFingerprint) -> str:
    return (
        f"pillow {encoder.pillow}, libjpeg-turbo {encoder.libjpeg_turbo}, simplejpeg {encoder.simplejpeg}, "
        f"cykooz-resizer {encoder.resizer} on {encoder.machine}"
    )


def _missing(expected: EncoderFingerprint, found: EncoderFingerprint) -> str:
    """Name the decoders that only one of two Pillows has, which may be of one version."""
    here = ", ".join(name for name in expected.decoders if name not in found.decoders)
    there = ", ".join(name for name in found.decoders if name not in expected.decoders)
    return f"; this worker's lacks {here}" * bool(here) + f"; the plan's lacked {there}" * bool(there)
