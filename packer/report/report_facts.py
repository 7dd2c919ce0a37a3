"""Everything that the report shows about a data set, as one value."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from packer.dataset.load import load_labels, load_manifest
from packer.dataset.manifest import Manifest
from packer.dataset.planfile import PlanDocument, load_plan
from packer.dataset.receipt import RejectedItem
from packer.errors import PackerError
from packer.imaging.thumbnails import Thumbnail
from packer.planning.layout import REJECTS_KEY, RUN_KEY
from packer.report.contact_sheet import SheetPicture, draw_contact_sheet, draw_rejects
from packer.report.near_groups import NearFacts, read_near_facts
from packer.report.record_facts import RecordFacts, read_record_facts
from packer.specs import StoreOptions
from packer.stores.open_store import open_store
from packer.stores.store import Store

_MAX_REJECTS_DRAWN = 60


class RunFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Facts about the run from `meta/run.json`; a field that it lacks is empty."""

    started: str = ""
    seconds: float = 0.0
    engine: str = ""
    host: str = ""
    versions: dict[str, str] = {}


class ReportFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the report shows about a data set."""

    uri: str
    manifest: Manifest
    class_names: tuple[str, ...]
    """Names by class id; empty without names."""
    source: str
    """Source of the images; empty if the plan cannot be read."""
    run: RunFacts
    records: RecordFacts
    near: NearFacts | None
    """Near-duplicates; None if the data set has no list of them."""
    pictures: tuple[SheetPicture, ...]
    rejects: tuple[RejectedItem, ...]
    reject_pictures: Mapping[str, Thumbnail]
    """Pictures, by key, of the rejects that could be drawn."""

    def class_name(self, label_text: str) -> str:
        """Return the name of a class, given its id as text; the text itself if the class has no name."""
        if label_text.isdigit() and int(label_text) < len(self.class_names):
            return self.class_names[int(label_text)]
        return label_text or "no label"


def collect_facts(uri: str, options: StoreOptions) -> ReportFacts:
    """Read everything that the report shows.

    Args:
        uri: path or URI of the data set.
        options: store options for remote URIs.

    Raises:
        NotADataSetError: there is no manifest.
        DataSetError: a document or a table cannot be read.
        OSError: the store failed.
    """
    store = open_store(uri, options)
    manifest = load_manifest(store)
    plan = _load_plan(store)
    records = read_record_facts(store, manifest)
    rejects = _load_rejects(store)
    return ReportFacts(
        uri=store.uri,
        manifest=manifest,
        class_names=load_labels(store),
        source=plan.source_root if plan else "",
        run=_load_run(store),
        records=records,
        near=read_near_facts(store, manifest, records.table),
        pictures=draw_contact_sheet(store, manifest, records.table),
        rejects=rejects,
        reject_pictures=_draw_rejects(plan, rejects, options),
    )


def _load_plan(store: Store) -> PlanDocument | None:
    try:
        return load_plan(store)
    except PackerError:
        return None  # `verify` reports it; the report works without a plan


def _load_run(store: Store) -> RunFacts:
    try:
        return msgspec.json.decode(store.get(RUN_KEY), type=RunFacts)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return RunFacts()


def _load_rejects(store: Store) -> tuple[RejectedItem, ...]:
    try:
        lines = store.get(REJECTS_KEY).splitlines()
        return tuple(msgspec.json.decode(line, type=RejectedItem) for line in lines)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return ()


def _draw_rejects(
    plan: PlanDocument | None, rejects: tuple[RejectedItem, ...], options: StoreOptions
) -> dict[str, Thumbnail]:
    if plan is None or plan.command != "pack" or not rejects:
        return {}
    try:
        source = open_store(plan.source_root, options)
    except PackerError:
        return {}
    return draw_rejects(source, [reject.key for reject in rejects[:_MAX_REJECTS_DRAWN]])
