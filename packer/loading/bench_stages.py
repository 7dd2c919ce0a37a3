"""CPU time of one sample on one thread, stage by stage: reading, decoding, scaling."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from packer.loading.batch_plan import BatchPlan
from packer.loading.crop_decoder import CropWindow, PictureError
from packer.loading.loader_setup import LoaderSetup, open_access
from packer.loading.record_order import RecordRef
from packer.loading.record_reader import RecordReader
from packer.loading.whole_decoder import CropScaler, ExactWindow, shrink_factor
from packer.loading.window_choice import central_window, random_window, sample_seed

_CHANNELS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCosts:
    """Means over `num_samples` samples, in microseconds for one sample."""

    store_us: float
    """CPU time of the process to read and check a record."""
    store_wait_us: float
    """Elapsed time to read and check a record."""
    decode_us: float
    scale_us: float
    """CPU time to crop, scale and mirror."""
    stored_short_side_px: float
    """Median of the pictures' short sides."""
    num_samples: int


@dataclass(slots=True)
class _Sums:
    store_s: float = 0.0
    store_wait_s: float = 0.0
    crop_s: float = 0.0
    scale_s: float = 0.0


def measure_stages(setup: LoaderSetup, num_samples: int) -> StageCosts:
    """Make up to `num_samples` samples of the first epoch twice, one by one, and return the second pass's costs.

    Raises as the iterator of `Loader`.
    """
    refs = _first_refs(setup.plan, num_samples)
    access = open_access(setup.given, setup.shards)
    try:
        access.expect(list(dict.fromkeys(ref.shard for ref in refs)))
        reader = RecordReader(setup.shards.files, setup.maker.offsets, access)
        probe = _Probe(setup)
        for _ in range(2):  # the first pass loads libraries, opens files and grows buffers
            sums = _Sums()
            sides = [probe.measure(reader, ref, sums) for ref in refs]
    finally:
        access.close()
    count = len(refs)
    scale_us = sums.scale_s / count * 1e6
    return StageCosts(
        store_us=sums.store_s / count * 1e6,
        store_wait_us=sums.store_wait_s / count * 1e6,
        decode_us=max(0.0, sums.crop_s / count * 1e6 - scale_us),
        scale_us=scale_us,
        stored_short_side_px=statistics.median(sides),
        num_samples=count,
    )


class _Probe:
    """Makes samples as a loader's thread does, and measures the time of each stage."""

    def __init__(self, setup: LoaderSetup) -> None:
        self._setup = setup
        self._decoder = setup.maker.create_decoder()
        self._scaler = CropScaler()
        side = setup.spec.image_px
        self._out = np.empty((side, side, _CHANNELS), np.uint8)

    def measure(self, reader: RecordReader, ref: RecordRef, sums: _Sums) -> int:
        """Add the costs of one sample to the sums; return the short side of its picture in pixels."""
        cpu_s, clock_s = time.process_time(), time.perf_counter()
        sample = reader.read(ref)
        read_s = time.process_time()
        sums.store_s += read_s - cpu_s
        sums.store_wait_s += time.perf_counter() - clock_s
        encoded, spec = memoryview(sample.encoded), self._setup.spec
        seed = sample_seed(spec.seed, 0, self._setup.shards.numbers[ref.shard], ref.record)
        try:
            size = self._decoder.read_size(encoded)
            window = (
                random_window(size, spec.min_area, seed)
                if spec.is_training
                else central_window(size, spec.evaluation_crop)
            )
            self._decoder.decode_crop(encoded, window, self._out, seed.is_flipped)
        except PictureError as error:
            raise PictureError(f"{self._setup.shards.files[ref.shard].name}: record {ref.record}: {error}") from None
        sums.crop_s += time.process_time() - read_s
        sums.scale_s += self._scale_alone(window, seed.is_flipped)
        return min(size.height, size.width)

    def _scale_alone(self, window: CropWindow, is_flipped: bool) -> float:
        """Return the CPU seconds of scaling a decoded window of this size."""
        by = shrink_factor(window, self._out)
        height, width = -(-window.height // by), -(-window.width // by)
        pixels = np.empty((height, width, _CHANNELS), np.uint8)
        started_s = time.process_time()
        self._scaler.scale(pixels, ExactWindow(0, 0, height, width), self._out, is_flipped)
        return time.process_time() - started_s


def _first_refs(plan: BatchPlan, num_samples: int) -> Sequence[RecordRef]:
    refs: list[RecordRef] = []
    for place in plan.places(0, 0):
        if len(refs) >= num_samples or place.epoch:
            break
        refs += [ref for ref in plan.refs(place) if isinstance(ref, RecordRef)]
    return refs[:num_samples]
