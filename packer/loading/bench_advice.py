"""Finds the bottleneck in the measurements of a machine, and what would help: pure arithmetic."""

from __future__ import annotations

import math

import msgspec

_SPARE = 0.9
"""Share of a processor's time that loading can use; the rest goes to the training loop and the system."""
_KEEPS_UP_WAIT = 0.02
"""A consumer that waits for less than this share of its time does not notice the loader."""
_STORED_OVER_IMAGE = 8 / 7
"""Short side of stored pictures over the side of images that suffices, as in 256 for 224."""
_TOO_LARGE = 1.15
"""Packing anew pays if the pictures' short side is more than this many times the side that suffices."""
_WHOLE = "whole-"
"""Prefix of the ids of decoders that decode whole pictures."""


class BenchResult(msgspec.Struct, frozen=True, kw_only=True):
    """Measurements of `shardpack bench`."""

    dest: str
    split: str
    split_bytes: int
    image_px: int
    batch_size: int
    threads: int
    num_cpus: int
    """Processors that this process may use."""
    decoder_id: str
    is_remote: bool
    cache: str
    store_us: float
    """CPU time to read and check one record, in microseconds."""
    store_wait_us: float
    """Elapsed time to read one record, in microseconds."""
    decode_us: float
    """CPU time to decode one image, in microseconds."""
    scale_us: float
    """CPU time to crop, scale and mirror one image, in microseconds."""
    hand_over_us: float
    """Time to hand one image over to the consumer, in microseconds."""
    cpu_us: float
    """CPU time of the whole process for one image at full speed, in microseconds."""
    stored_short_side_px: float
    capacity: float
    """Images a second at full speed."""
    wanted: float | None = None
    """Images a second that the consumer takes if it never waits; None if no step time was given."""
    reached: float | None = None
    """Images a second that the consumer got; None if no step time was given."""
    waited_share: float | None = None
    """Share of the consumer's time spent waiting, in [0, 1]; None if no step time was given."""

    @property
    def keeps_up(self) -> bool | None:
        """Whether the consumer hardly waits; None if no step time was given."""
        return None if self.waited_share is None else self.waited_share <= _KEEPS_UP_WAIT

    @property
    def waits_for_store(self) -> bool:
        """Records come over a network one by one. Otherwise a slow read means that it waits for a processor."""
        return self.is_remote and not self.cache

    @property
    def binds(self) -> str:
        """The bottleneck: ``consumer``, ``store``, ``decode``, ``crop and scale`` or ``hand-over``."""
        if self.keeps_up:
            return "consumer"
        stages = {
            "store": self.store_wait_us if self.waits_for_store else self.store_us,
            "decode": self.decode_us,
            "crop and scale": self.scale_us,
            "hand-over": self.hand_over_us * self.threads,  # one thread does this while all others make batches
        }
        return max(stages, key=lambda name: stages[name])

    @property
    def wanted_cpus(self) -> int | None:
        """Number of processors needed for the `wanted` rate; None if no step time was given."""
        return None if self.wanted is None else math.ceil(self.wanted * self.cpu_us / 1e6 / _SPARE)


class Advice(msgspec.Struct, frozen=True):
    """A change that would help, and its expected effect."""

    what: str
    effect: str


def advise(result: BenchResult) -> list[Advice]:
    """Return changes that would help, the cheapest first; empty if the loader keeps up with its consumer."""
    if result.keeps_up:
        return []
    found = [_more_threads(result), _compiled_part(result), _cache(result), _fewer_pixels(result), _hosts(result)]
    return [advice for advice in found if advice is not None]


def _more_threads(result: BenchResult) -> Advice | None:
    useful = result.num_cpus
    if result.waits_for_store:  # while a thread waits for a record, another can decode
        worked_us = result.store_us + result.decode_us + result.scale_us
        useful = math.ceil(useful * (1 + max(0.0, result.store_wait_us - result.store_us) / worked_us))
    if useful <= result.threads:
        return None
    bound = result.num_cpus / result.cpu_us * 1e6
    rate = min(bound, result.capacity * useful / result.threads)
    return Advice(f"`threads={useful}` instead of {result.threads}", f"up to {rate:,.0f} images/s")


def _compiled_part(result: BenchResult) -> Advice | None:
    if not result.decoder_id.startswith(_WHOLE):
        return None
    return Advice(
        "a wheel with the compiled part, which decodes no more of a picture than its crop needs",
        "about a seventh less CPU time for an image (packer/docs/training.md)",
    )


def _cache(result: BenchResult) -> Advice | None:
    if not result.waits_for_store:
        return None
    size = f"{max(1, math.ceil(result.split_bytes / 1e9))}GB"
    return Advice(
        f"`cache=/a/local/folder:{size}`, or a File or FastFile channel in a SageMaker job",
        f"each shard is fetched once; a record costs {result.store_wait_us:,.0f} us on the clock now",
    )


def _fewer_pixels(result: BenchResult) -> Advice | None:
    enough = math.ceil(result.image_px * _STORED_OVER_IMAGE)
    ratio = result.stored_short_side_px / enough
    if ratio < _TOO_LARGE:
        return None
    saved = result.decode_us * (1 - 1 / ratio**2)
    return Advice(
        f"pack with `resize={enough}`: pictures have a short side of {result.stored_short_side_px:,.0f} now",
        f"about {saved:,.0f} us less for an image, which costs {result.cpu_us:,.0f} now",
    )


def _hosts(result: BenchResult) -> Advice | None:
    wanted = result.wanted_cpus
    if wanted is None or wanted <= result.num_cpus:
        return None
    return Advice(
        f"a data group of {wanted - result.num_cpus} vCPUs or more, or a machine of {wanted}",
        f"{result.wanted:,.0f} images/s take {wanted} vCPUs at {result.cpu_us:,.0f} us an image; {result.num_cpus} are "
        "here",
    )
