"""Items made into samples under several settings, to compare them: sizes, CPU time and loss. Nothing is written."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from packer.engines.engine import Tick
from packer.formats.registry import get_format
from packer.imaging.encoding_loss import encoding_psnr_db
from packer.imaging.rejects import RejectError
from packer.packing.fetch import fetch_files
from packer.packing.sample import ItemFiles, ItemRow
from packer.packing.samples import BuiltSample, build_samples
from packer.specs import DEFAULT_STORE, ITEM_LIMIT_S, FormatName, ImageSpec, StoreOptions
from packer.stores.open_store import open_store

ITEMS_PER_TRIAL = 16


class TriedSetting(msgspec.Struct, frozen=True, kw_only=True):
    """What decides a sample's bytes."""

    format: FormatName
    image: ImageSpec


class TrialContext(msgspec.Struct, frozen=True, kw_only=True):
    """Items to try; task t tries ``items[16 t : 16 t + 16]`` under each of the settings."""

    source_root: str
    source_store: StoreOptions = DEFAULT_STORE
    settings: tuple[TriedSetting, ...]
    item_limit_s: float = ITEM_LIMIT_S
    items: tuple[ItemRow, ...]
    num_with_loss: int
    """Of the first so many items the loss is measured, which takes as long as making a sample."""


class TriedItem(msgspec.Struct, frozen=True, kw_only=True):
    """One item under one setting: the framed size of its record, or why it has none."""

    num_bytes: int | None
    problem: str = ""
    psnr_db: float | None = None
    """None where it was not measured."""


class TaskTrial(msgspec.Struct, frozen=True, kw_only=True):
    """What a task found, by setting."""

    task: int
    fetch_s: float
    """CPU time of reading the items once."""
    cpu_s: tuple[float, ...]
    """CPU time of making the samples of all items, one number for each setting."""
    items: tuple[tuple[TriedItem, ...], ...]
    """The items in their order, for each setting."""


def try_settings(context: TrialContext, task: int, tick: Tick) -> TaskTrial:
    """Read the task's items once and make samples of them under each setting. Raises as `fetch_files`."""
    first = ITEMS_PER_TRIAL * task
    items = context.items[first : first + ITEMS_PER_TRIAL]
    began_s = time.process_time()
    files = list(fetch_files(open_store(context.source_root, context.source_store), items))
    fetch_s = time.process_time() - began_s
    # The first image of a process pays for what its libraries load.
    build_samples(items[:1], iter(files[:1]), context.settings[0].image, limit_s=context.item_limit_s, take=_leave)
    trials = [
        _try_setting(context, setting, items, files, num_with_loss=context.num_with_loss - first)
        for setting in context.settings
    ]
    tick(len(items), sum(item.num_bytes_of_all for item in items))
    return TaskTrial(
        task=task,
        fetch_s=fetch_s,
        cpu_s=tuple(cpu_s for cpu_s, _ in trials),
        items=tuple(tried for _, tried in trials),
    )


def _leave(index: int, outcome: BuiltSample | RejectError) -> None:
    return


def _try_setting(
    context: TrialContext,
    setting: TriedSetting,
    items: Sequence[ItemRow],
    files: Sequence[bytes | ItemFiles | RejectError],
    *,
    num_with_loss: int,
) -> tuple[float, tuple[TriedItem, ...]]:
    container = get_format(setting.format)
    tried: list[TriedItem] = []
    measuring_s = 0.0

    def take(index: int, outcome: BuiltSample | RejectError) -> None:
        nonlocal measuring_s
        if isinstance(outcome, RejectError):
            problem = f"{items[index].key}: {outcome.reason}: {outcome.detail}"
            tried.append(TriedItem(num_bytes=None, problem=problem))
            return
        num_bytes, psnr_db = container.open_writer("train", 0).add(outcome.sample, 0), None
        if index < num_with_loss:
            began_s = time.process_time()
            psnr_db = encoding_psnr_db(_main_file(files[index]), outcome.sample.encoded, setting.image)
            measuring_s += time.process_time() - began_s
        tried.append(TriedItem(num_bytes=num_bytes, psnr_db=psnr_db))

    began_s = time.process_time()
    build_samples(items, iter(files), setting.image, limit_s=context.item_limit_s, take=take)
    return time.process_time() - began_s - measuring_s, tuple(tried)


def _main_file(files: bytes | ItemFiles | RejectError) -> bytes:
    assert not isinstance(files, RejectError)
    return files.data if isinstance(files, ItemFiles) else files
