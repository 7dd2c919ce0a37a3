"""What is known of a data set beside its manifest: names of classes, where it came from, when and by what."""

from __future__ import annotations

import msgspec

from packer.dataset.load import load_labels
from packer.dataset.near_list import NearCounts, count_near, load_near
from packer.dataset.planfile import load_plan
from packer.errors import DataSetError
from packer.planning.layout import RUN_KEY
from packer.stores.store import ObjectNotFoundError, Store


class DataSetFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Empty texts for what is not known."""

    class_names: tuple[str, ...] = ()
    """By class id; empty without names."""
    source: str = ""
    """Path or URI of what was packed or copied."""
    command: str = "pack"
    """What made it: ``pack`` or ``reshard``."""
    started: str = ""
    """ISO 8601, UTC."""
    release: str = ""
    """Of shardpack."""
    near: NearCounts | None = None
    """Of near-duplicates; None where they were not sought."""


class _RunReport(msgspec.Struct, frozen=True, kw_only=True):
    """What is read of `meta/run.json`."""

    started: str = ""
    versions: dict[str, str] = {}


def load_facts(store: Store) -> DataSetFacts:
    """Return the facts of a data set; what is damaged or lost is left out, since none of it is needed to read."""
    plan = names = near = None
    try:
        names = load_labels(store)
        plan = load_plan(store)
        near = load_near(store)
    except DataSetError:
        pass
    report = _load_report(store)
    return DataSetFacts(
        class_names=names or (),
        source="" if plan is None else plan.source_root,
        command="pack" if plan is None else plan.command or "pack",
        started=report.started,
        release=report.versions.get("shardpack", ""),
        near=None if near is None else count_near(near),
    )


def _load_report(store: Store) -> _RunReport:
    try:
        return msgspec.json.decode(store.get(RUN_KEY), type=_RunReport)
    except (ObjectNotFoundError, msgspec.MsgspecError):
        return _RunReport()
