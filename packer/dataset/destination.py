"""Whose a destination is: claiming it for a plan, going on with a claim, clearing what was there."""

from __future__ import annotations

from typing import Any

from packer.dataset.load import load_manifest
from packer.dataset.planfile import PlanDocument, claim, load_plan, store_plan
from packer.errors import DataSetError, DestinationTakenError, OptionsError
from packer.planning.names import MANIFEST_KEY, META_PREFIX, PLAN_KEY
from packer.planning.plan import Plan
from packer.stores.base import Store

_PLAN_PARTS_PREFIX = META_PREFIX + "plan/"


def claim_destination(
    dest: Store, plan: Plan, document: PlanDocument, *, overwrite: bool, shared: bool = False
) -> None:
    """Make the destination this plan's, or raise before a byte of the data set is written.

    With `shared`, other runs of the same plan may have claimed it already.

    Raises:
        DestinationTakenError: another run's plan or a finished data set is there.
        OptionsError: something else is there.
    """
    if overwrite:
        clear(dest)
    elif _is_taken(dest):
        if shared and _is_same_plan(dest, document):
            return
        raise DestinationTakenError(_taken_text(dest, document))
    if not shared:
        check_empty(dest)
    keys = store_plan(dest, plan)
    if not claim(dest, document):
        if _is_same_plan(dest, document):  # its files are those that were just written once more
            if shared:
                return
        else:
            for key in keys:
                dest.delete(key)
        raise DestinationTakenError(_taken_text(dest, document))
    for info in list(dest.list(_PLAN_PARTS_PREFIX)):  # left by runs that were killed before they could claim
        if info.key not in keys:
            dest.delete(info.key)


def _is_taken(dest: Store) -> bool:
    return any(True for key in (MANIFEST_KEY, PLAN_KEY) for info in dest.list(key) if info.key == key)


def _is_same_plan(dest: Store, document: PlanDocument) -> bool:
    found = load_plan(dest)
    return found is not None and found.plan_id == document.plan_id


def _taken_text(dest: Store, document: PlanDocument) -> str:
    try:
        found = load_plan(dest)
    except DataSetError as error:
        return str(error)
    whose = "another plan" if found is None or found.plan_id != document.plan_id else "this very plan"
    state = "a finished data set" if _has_manifest(dest) else "an unfinished run"
    return (
        f"{dest.uri}: holds {state} of {whose}; go on with --resume, replace it with --overwrite, "
        f"or choose another DEST"
    )


def _has_manifest(dest: Store) -> bool:
    return any(info.key == MANIFEST_KEY for info in dest.list(MANIFEST_KEY))


def check_empty(dest: Store) -> None:
    """Raise OptionsError when the destination holds anything but parts of plans that never claimed it."""
    for info in dest.list():
        if not info.key.startswith(_PLAN_PARTS_PREFIX):
            raise OptionsError(f"DEST: expected a place that is new or empty, but {dest.uri} holds {info.key}")


def check_same_options(document: PlanDocument, options: dict[str, Any]) -> None:
    """Check that a run which goes on with a stored plan asks for what that plan was made for.

    Raises:
        OptionsError: an option differs; the message names it and both values.
    """
    for name in sorted(options.keys() | document.options.keys()):
        before, now = document.options.get(name), options.get(name)
        if before != now:
            raise OptionsError(
                f"--{name.replace('_', '-')}: expected {before!r} as in the run to be resumed, got {now!r}; give the "
                f"same options, or start anew with --overwrite"
            )


def clear(dest: Store) -> None:
    """Remove a data set or an unfinished run: the manifest first, so no reader sees a part; the claim last.

    Raises:
        OptionsError: what is there is neither.
    """
    if not _is_taken(dest):
        return
    document = _readable_plan(dest)
    manifest = load_manifest(dest, missing_ok=True) if document is None else None
    names = [split.name for split in document.header.splits] if document else list(manifest.splits if manifest else ())
    dest.delete(MANIFEST_KEY)
    for prefix in (*(f"{name}/" for name in names), META_PREFIX):
        for info in list(dest.list(prefix)):
            if info.key != PLAN_KEY:
                dest.delete(info.key)
    dest.delete(PLAN_KEY)
    dest.sweep()


def _readable_plan(dest: Store) -> PlanDocument | None:
    try:
        return load_plan(dest)
    except DataSetError:
        return None
