"""Measures how fast this machine loads a data set: at full speed, and for a consumer with a given step time."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from packer.errors import OptionsError
from packer.loading.bench_advice import BenchResult
from packer.loading.bench_stages import measure_stages
from packer.loading.loader import Loader, default_threads
from packer.loading.loader_meter import MeterReading
from packer.loading.loader_setup import open_setup
from packer.loading.loader_spec import LoaderInput, LoaderSpec
from packer.specs import DEFAULT_STORE, StoreOptions

_PROBED_SAMPLES = 256
_WARM_UP_BATCHES = 3
_STEP = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s)")


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOptions:
    """What to measure."""

    dest: str
    split: str = "train"
    batch_size: int = 256
    image_px: int = 224
    threads: int = 0
    """Threads that make batches; 0: as many as a loader uses by default."""
    cache: str = ""
    step_s: float | None = None
    """Seconds that a consumer needs for one batch; None to measure only full speed."""
    num_gpus: int = 1
    """Consumers on this machine; each takes one batch a step."""
    seconds: float = 10.0
    """Length of each measurement."""
    min_area: float = 0.25
    store: StoreOptions = DEFAULT_STORE


def parse_step(text: str) -> float:
    """Return the seconds of a time such as ``64ms`` or ``0.5s``. Raises OptionsError."""
    match = _STEP.fullmatch(text.strip())
    seconds = float(match[1]) / (1000 if match[2] == "ms" else 1) if match else 0.0
    if not seconds:
        raise OptionsError(f"expected a time such as 64ms or 0.5s, got {text!r}", field="step")
    return seconds


def run_bench(options: BenchOptions) -> BenchResult:
    """Measure each stage, full speed and, if `step_s` is given, loading for such a consumer.

    Raises as `Loader` and its iterator.
    """
    threads = options.threads or default_threads()
    spec = LoaderSpec(
        split=options.split, batch_size=options.batch_size, image_px=options.image_px, min_area=options.min_area
    )
    given = LoaderInput(source=options.dest, store=options.store, cache=options.cache, threads=threads)
    setup = open_setup(given, spec, None)
    costs = measure_stages(setup, _PROBED_SAMPLES)
    full_speed, cpu_s = _consume(options, threads, step_s=0.0)
    paced: MeterReading | None = None
    wanted = None
    if options.step_s is not None:
        step_s = options.step_s / options.num_gpus
        wanted = options.batch_size / step_s
        paced, _ = _consume(options, threads, step_s=step_s)
    return BenchResult(
        dest=options.dest,
        split=options.split,
        split_bytes=sum(file.entry.num_bytes for file in setup.shards.files),
        image_px=options.image_px,
        batch_size=options.batch_size,
        threads=threads,
        num_cpus=default_threads(),
        decoder_id=setup.decoder_id,
        is_remote=not all(file.is_local for file in setup.shards.files),
        cache=options.cache,
        store_us=costs.store_us,
        store_wait_us=costs.store_wait_us,
        decode_us=costs.decode_us,
        scale_us=costs.scale_us,
        hand_over_us=full_speed.handed_over_s / full_speed.num_samples * 1e6,
        cpu_us=cpu_s / full_speed.num_samples * 1e6,
        stored_short_side_px=costs.stored_short_side_px,
        capacity=full_speed.samples_per_s,
        wanted=wanted,
        reached=paced.samples_per_s if paced else None,
        waited_share=paced.waited_share if paced else None,
    )


def _consume(options: BenchOptions, threads: int, *, step_s: float) -> tuple[MeterReading, float]:
    """Take a batch every `step_s` seconds for `options.seconds`; return the meter and this process's CPU seconds.

    Batches are made in this process, so that its CPU time includes all work.
    """
    loader = Loader(
        options.dest,
        options.split,
        batch_size=options.batch_size,
        image_px=options.image_px,
        threads=threads,
        where="process",
        cache=options.cache,
        min_area=options.min_area,
        store=options.store,
    )
    with loader:
        end_s, began_cpu_s, num_batches, due_s = 0.0, 0.0, 0, 0.0
        while True:
            for batch in loader:
                num_batches += 1
                now_s = time.perf_counter()
                if num_batches == _WARM_UP_BATCHES:
                    loader.reset_meter()
                    end_s, began_cpu_s, due_s = now_s + options.seconds, time.process_time(), now_s
                elif num_batches > _WARM_UP_BATCHES and now_s >= end_s:
                    return loader.meter, time.process_time() - began_cpu_s
                del batch  # frees its slot for the batch after next
                due_s = max(due_s, now_s - step_s) + step_s if step_s else now_s
                time.sleep(max(0.0, due_s - time.perf_counter()))
