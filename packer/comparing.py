"""Several settings side by side, before anything is packed: what each would make, how fast, and at what loss.

    list once -> try the first items in hash order under every setting -> one plan a setting -> one is recommended

Each setting is measured on the items that its own plan would be measured on, so its shards are those of that plan.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from packer.compared_settings import Machine, Setting
from packer.errors import OptionsError, PackerError, SourceError
from packer.measuring import check_problems
from packer.options import PackOptions
from packer.packing.sample import ItemRow, RowNames, item_rows
from packer.packing.setting_trial import ITEMS_PER_TRIAL, TaskTrial, TrialContext, TriedItem, TriedSetting, try_settings
from packer.plan_costs import traffic_of
from packer.planning.costs import Traffic
from packer.planning.plan import extra_names
from packer.planning.shard_count import num_probes
from packer.prepare import ReadyItems, check_container, list_items, plan_listed
from packer.processors import count_processors
from packer.progress import SilentProgress
from packer.recommending import Candidate, recommend
from packer.run import Run
from packer.sources.imagerows import Spill
from packer.specs import EngineName, Fit, ImageSpec
from packer.stores.open_store import share_options

_ITEMS_WITH_LOSS = 64


class ComparedSetting(msgspec.Struct, frozen=True, kw_only=True):
    """What packing under one setting would make."""

    setting: Mapping[str, str]
    problem: str = ""
    """Why it cannot be packed so; then nothing else is known."""
    plan_id: str = ""
    num_items: int = 0
    num_shards: int = 0
    num_fills: int = 0
    mean_record_bytes: int = 0
    mean_shard_bytes: int = 0
    num_bytes: int = 0
    """Of all shards."""
    images_per_s: float = 0
    """Of this machine's workers, by the CPU time of the sample."""
    pack_s: float = 0
    """Seconds of packing all items at that rate."""
    pack_s_on: float | None = None
    """Seconds on the machine that was named."""
    psnr_db: float | None = None
    """Median loss of encoding; None where nothing is lost."""
    traffic: Traffic | None = None


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Settings side by side."""

    settings: tuple[ComparedSetting, ...]
    recommended: int
    """Index of one of them."""
    reason: str
    num_sampled: int
    """Items that were made into samples under each setting."""
    num_with_loss: int
    """Those of them whose loss was measured."""
    num_workers: int
    machine: Machine | None


@dataclass(slots=True)
class _Trials:
    """What was found under one setting."""

    sizes: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    losses_db: list[float] = field(default_factory=list)
    cpu_s: float = 0.0

    def add(self, items: Sequence[TriedItem], listed: Sequence[int], *, keeps_all: bool, wanted: int) -> None:
        """Take items in hash order, no more good ones than are wanted."""
        for item, num_bytes in zip(items, listed, strict=True):
            if len(self.sizes) == wanted:
                return
            if item.num_bytes is None:
                self.problems.append(item.problem)
            else:
                self.sizes.append(item.num_bytes - num_bytes if keeps_all else item.num_bytes)
                self.losses_db += [] if item.psnr_db is None else [item.psnr_db]


def compare(
    run: Run[PackOptions], settings: Sequence[Setting], *, dest: str | None = None, machine: Machine | None = None
) -> Comparison:
    """Try settings on some of a source's items, and plan each of them. Nothing is written.

    Args:
        run: its options are what all settings share.
        dest: where the data set would go; None where that is not known.
        machine: what to say the time for, beside this machine.

    Raises:
        SourceError: there is no source, nothing in it, or none of the settings can be packed.
        OptionsError: the engine is not the local one.
    """
    if run.options.engine is not EngineName.LOCAL:
        raise OptionsError("expected local, which measures on this machine's workers, got spark", field="engine")
    with Spill() as spill:
        ready = list_items(replace(run, options=settings[0].options), spill)
        trials, num_sampled, fetch_s = _try_all(run, ready, settings)
        num_workers = run.options.workers or count_processors()
        tried = _Tried(num_sampled=num_sampled, fetch_s=fetch_s, num_workers=num_workers, dest=dest, machine=machine)
        compared = [
            _planned(replace(run, options=each.options, progress=SilentProgress()), ready, each, trials[i], tried)
            for i, each in enumerate(settings)
        ]
    if all(each.problem for each in compared):
        raise SourceError(f"none of the settings can be packed; {settings[0].name}: {compared[0].problem}")
    recommended, reason = recommend([_candidate(c, s) for c, s in zip(compared, settings, strict=True)])
    return Comparison(
        settings=tuple(compared),
        recommended=recommended,
        reason=reason,
        num_sampled=num_sampled,
        num_with_loss=max(len(each.losses_db) for each in trials),
        num_workers=num_workers,
        machine=machine,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tried:
    """What is the same for all settings."""

    num_sampled: int
    fetch_s: float
    num_workers: int
    dest: str | None
    machine: Machine | None


def _try_all(run: Run[PackOptions], ready: ReadyItems, settings: Sequence[Setting]) -> tuple[list[_Trials], int, float]:
    """Return what was found under each setting, the number of items that were tried, and the CPU time of reading."""
    kinds = [TriedSetting(format=each.options.format, image=each.options.image_spec()) for each in settings]
    once = tuple(dict.fromkeys(kinds))  # settings that differ in shards alone are tried together
    trials = [_Trials() for _ in once]
    wanted, start, fetch_s = num_probes(ready.ordered.num_rows), 0, 0.0
    with run.progress.phase("measuring", total=wanted):
        while start < ready.ordered.num_rows and (missing := wanted - min(len(each.sizes) for each in trials)):
            batch = ready.ordered.slice(start, missing)
            listed = batch["num_bytes"].to_pylist()
            for result in _run_trials(run, ready, batch.to_pydict(), once, num_tried=start):
                fetch_s += result.fetch_s
                own = listed[ITEMS_PER_TRIAL * result.task :][:ITEMS_PER_TRIAL]
                for trial, kind, items, cpu_s in zip(trials, once, result.items, result.cpu_s, strict=True):
                    trial.add(items, own, keeps_all=kind.image.keeps_all, wanted=wanted)
                    trial.cpu_s += cpu_s
            start += batch.num_rows
    by_kind = dict(zip(once, trials, strict=True))
    return [by_kind[kind] for kind in kinds], start, fetch_s


def _run_trials(
    run: Run[PackOptions],
    ready: ReadyItems,
    columns: dict[str, list[object]],
    settings: tuple[TriedSetting, ...],
    *,
    num_tried: int,
) -> Iterator[TaskTrial]:
    """Yield what the tasks of a batch found, in their order."""
    listing = ready.listing
    names = RowNames(extra_names(ready.ordered), listing.class_names, listing.fields)
    rows: list[ItemRow] = item_rows(columns, names)
    context = TrialContext(
        source_root=listing.place,
        source_store=share_options(listing.place, run.options.source_store()),
        settings=settings,
        item_limit_s=run.options.item_timeout,
        items=tuple(rows),
        num_with_loss=max(0, _ITEMS_WITH_LOSS - num_tried),
    )
    tasks = range(-(-len(rows) // ITEMS_PER_TRIAL))
    found = {result.task: result for result in run.engine.run(try_settings, context, tasks, run.progress.advance)}
    yield from (found[task] for task in tasks)


def _planned(
    run: Run[PackOptions], ready: ReadyItems, setting: Setting, trials: _Trials, tried: _Tried
) -> ComparedSetting:
    """Return what a setting would make, or why it cannot be packed."""
    try:
        if trials.problems:
            check_problems(trials.problems, run.options, num_items=ready.ordered.num_rows, is_all=not trials.sizes)
        check_container(run.options, ready.listing, ready.ordered)
        plan, document = plan_listed(run, ready, trials.sizes)
    except PackerError as error:
        return ComparedSetting(setting=setting.values, problem=str(error))
    splits, mean_bytes = plan.header.splits, plan.header.mean_record_bytes
    num_items, num_fills = sum(s.num_items for s in splits), sum(s.num_fills for s in splits)
    cpu_s = (trials.cpu_s + tried.fetch_s) / tried.num_sampled
    num_bytes = (num_items + num_fills) * mean_bytes
    loss_db = statistics.median(trials.losses_db) if trials.losses_db else math.inf
    return ComparedSetting(
        setting=setting.values,
        plan_id=plan.plan_id,
        num_items=num_items,
        num_shards=plan.header.num_tasks,
        num_fills=num_fills,
        mean_record_bytes=mean_bytes,
        mean_shard_bytes=num_bytes // plan.header.num_tasks,
        num_bytes=num_bytes,
        images_per_s=tried.num_workers / cpu_s,
        pack_s=num_items * cpu_s / tried.num_workers,
        pack_s_on=None if tried.machine is None else num_items * cpu_s / tried.machine.num_vcpus,
        psnr_db=loss_db if math.isfinite(loss_db) else None,
        traffic=traffic_of(plan, document, dest=tried.dest),
    )


def _candidate(compared: ComparedSetting, setting: Setting) -> Candidate | None:
    if compared.problem:
        return None
    psnr_db = math.inf if compared.psnr_db is None else compared.psnr_db
    return Candidate(num_bytes=compared.num_bytes, psnr_db=psnr_db, side_px=_side_px(setting.options.image_spec()))


def _side_px(spec: ImageSpec) -> int | None:
    """Return the short side of a sample; None where it is each image's own."""
    return None if spec.keeps_all or spec.fit is Fit.LONG else min(spec.width, spec.height)
