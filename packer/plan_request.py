"""From the options of a run to what a plan is asked for, and to the document that it is kept in."""

from __future__ import annotations

from typing import Any

import msgspec

from packer.dataset.document import later_fields
from packer.dataset.planfile import PlanDocument, StagedPlan
from packer.imaging.values import EncoderFingerprint
from packer.options import STORE_FIELDS, PackOptions, default_options
from packer.planning.class_findings import ClassCounts, class_findings
from packer.planning.plan import Plan, PlanHeader, PlanRequest
from packer.run import Run
from packer.sources.splitfolders import SPLIT_COLUMN
from packer.specs import TABLE_PREFIX, FieldSpec
from packer.stores.open_store import absolute_uri

_ENGINE_FIELDS = frozenset({"dest", "engine", "workers", "item_timeout", "resume", "overwrite", "part", *STORE_FIELDS})
"""Options that say how and where a run is done; all others say what it makes, so a resumed run must repeat them."""


def plan_request(
    options: PackOptions,
    encoder: EncoderFingerprint,
    *,
    label_kind: str,
    class_names: tuple[str, ...],
    fields: tuple[FieldSpec, ...] = (),
) -> PlanRequest:
    """Return what a plan is asked for."""
    return PlanRequest(
        format=options.format,
        image=options.image_spec(),
        encoder_sha256=encoder.sha256,
        seed=options.seed,
        sharding=options.shard_spec(),
        splits=options.splits(),
        split_column=SPLIT_COLUMN if options.split_folders else options.split_column,
        group_column=options.group_column,
        label_kind=label_kind,
        class_names=class_names,
        fields=fields,
    )


def limit_line(limit: int, num_items: int) -> str:
    """Return what is said of a run with some of the items."""
    return f"a trial with {limit:,} of {num_items:,} items (`limit`)"


def tell_findings(run: Run[PackOptions], header: PlanHeader, counts: ClassCounts) -> None:
    """Note what a person should know of the classes of a plan."""
    for finding in class_findings(header, counts):
        run.progress.note(f"{finding.text} {finding.advice}")


def plan_document(
    plan: Plan | StagedPlan,
    options: PackOptions,
    *,
    encoder: EncoderFingerprint,
    source_root: str,
    copies_sha256: str | msgspec.UnsetType,
) -> PlanDocument:
    """Return what is stored of a plan beside its items."""
    return PlanDocument(
        plan_id=plan.plan_id,
        header=plan.header,
        encoder=encoder,
        source_root=source_root,
        options=lasting_options(options),
        copies_sha256=copies_sha256,
    )


def lasting_options(options: PackOptions) -> dict[str, Any]:
    """Return the options that a resumed run or another part of this one must have too.

    One that later releases than the first brought is left out where it has its default, as the plans of that have it.
    """
    # As JSON has them, which knows no tuples, for what is stored is compared with what is given anew.
    values = msgspec.json.decode(msgspec.json.encode(options))
    defaults, later = msgspec.json.decode(msgspec.json.encode(default_options())), later_fields(PackOptions)
    return {
        name: absolute_uri(value) if name == "source" and not value.startswith(TABLE_PREFIX) else value
        for name, value in values.items()
        if name not in _ENGINE_FIELDS and not (name in later and value == defaults[name])
    }
