"""The encoder of this process: told to the one that plans, and held against the plan by those that pack.

Only workers load the image libraries, so the process that plans asks one of them. Each worker encodes the built-in
images once.
"""

from __future__ import annotations

import functools
import hashlib

import msgspec

from packer.engines.engine import Tick
from packer.errors import EncoderMismatchError
from packer.formats.registry import get_format
from packer.imaging.values import EncoderFingerprint
from packer.specs import FormatName, ImageSpec


class EncoderSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What an encoder is asked for."""

    image: ImageSpec
    format: FormatName


def report_encoder(spec: EncoderSpec, task: int, tick: Tick) -> EncoderFingerprint:
    """Return the fingerprint of the process that runs the task."""
    from packer.imaging.fingerprint import encoder_fingerprint

    return in_container(encoder_fingerprint(spec.image, sha256=_own_digest(spec.image)), spec.format)


def in_container(encoder: EncoderFingerprint, container: FormatName) -> EncoderFingerprint:
    """Return the fingerprint of the same images in a container, which is theirs alone where nothing else counts."""
    images_sha256, made_by = encoder.images_sha256 or encoder.sha256, get_format(container).made_by
    if not made_by:
        others = {"made_by": msgspec.UNSET, "images_sha256": msgspec.UNSET}
        return msgspec.structs.replace(encoder, sha256=images_sha256, **others)
    digest = hashlib.sha256(f"{images_sha256} {made_by}".encode()).hexdigest()
    return msgspec.structs.replace(encoder, sha256=digest, images_sha256=images_sha256, made_by=made_by)


@functools.lru_cache(maxsize=4)
def _own_digest(spec: ImageSpec) -> str:
    from packer.imaging.fingerprint import encoder_digest

    return encoder_digest(spec)


def check_container(container: FormatName, expected: EncoderFingerprint) -> None:
    """Compare what decides this process's shards beside images. Raises EncoderMismatchError naming both versions."""
    found = get_format(container).made_by
    if found != (expected.made_by or ""):
        raise EncoderMismatchError(
            f"this worker would write other bytes than the one that made the plan: expected {expected.made_by}, found "
            f"{found}; install the same version everywhere"
        )


def check_encoder(spec: EncoderSpec, expected: EncoderFingerprint) -> None:
    """Compare this process's encoder with the plan's. Raises EncoderMismatchError naming both versions."""
    check_container(spec.format, expected)
    if _own_digest(spec.image) == (expected.images_sha256 or expected.sha256):
        return
    found = report_encoder(spec, 0, lambda num_items, num_bytes: None)
    remedy = "install the same versions, from the same place, everywhere"
    if _versions(expected) == _versions(found) and not _missing(expected, found):
        remedy += "; or, if another release of shardpack made the plan, go on with that one or start anew"
    raise EncoderMismatchError(
        f"this worker's image libraries give other bytes than those that made the plan: expected "
        f"{_versions(expected)}, found {_versions(found)}{_missing(expected, found)}; {remedy}"
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
