"""Whose a destination is: claiming it for a plan, going on with a claim, clearing what was there."""

from __future__ import annotations

from typing import Any

from packer.dataset.load import load_manifest
from packer.dataset.manifest import Manifest
from packer.dataset.planfile import (
    PlanDocument,
    StagedPlan,
    claim,
    find_claim,
    find_object,
    load_plan,
    parse_claim,
    replace_claim,
    store_plan,
)
from packer.dataset.receipt import receipts_plan
from packer.dataset.strays import find_replaced, is_own
from packer.errors import ClaimLostError, DataSetError, DestinationTakenError, OptionsError
from packer.options import default_options
from packer.planning.layout import (
    MANIFEST_KEY,
    PLAN_KEY,
    PLAN_LOCK_KEY,
    PLAN_PARTS_PREFIX,
    RECEIPTS_PREFIX,
    plan_parts_prefix,
    receipts_prefix,
)
from packer.planning.plan import PLAN_VERSION, Plan
from packer.stores.open_store import is_local
from packer.stores.store import Claim, Store, Tagged

_MAY_CHANGE = frozenset({"max_rejects", "on_reject"})
"""Options that decide whether a data set is made, and not which."""
_MAX_ATTEMPTS = 5
"""To take over a place in which others come and go."""


def check_destination(dest: Store, *, overwrite: bool, shared: bool = False) -> None:
    """Raise unless a new run may claim the destination.

    With `overwrite`, a data set or an unfinished run may be there; with `shared`, other runs may be writing there.

    Raises:
        DestinationTakenError: a finished data set or an unfinished run is there.
        OptionsError: something else is there.
    """
    is_taken = _is_taken(dest)
    if is_taken and not overwrite:
        raise DestinationTakenError(_taken_text(dest))
    for info in dest.list():
        # Parts of plans, and the lock, are left by runs that were killed before they could claim.
        is_left = info.key.startswith(PLAN_PARTS_PREFIX) or info.key == PLAN_LOCK_KEY
        if not (is_own(info.key) if is_taken or shared else is_left):
            if not is_taken and _is_taken(dest):  # by a run that started at the same time
                check_destination(dest, overwrite=overwrite, shared=shared)
                return
            remedy = ", which `overwrite=True` would not remove: move it away" if is_taken else ""
            raise OptionsError(
                f"expected a place that is new or empty, but {dest.uri} holds {info.key}{remedy}", field="dest"
            )


def claim_destination(
    dest: Store, plan: Plan | StagedPlan, document: PlanDocument, *, overwrite: bool, shared: bool = False
) -> Store:
    """Make the destination this plan's, or raise before a byte of the data set is written.

    With `shared`, other runs of the same plan may have claimed it already.

    Returns:
        The place as this run writes to it.

    Raises as `check_destination`.
    """
    try:
        check_destination(dest, overwrite=overwrite, shared=shared)
    except DestinationTakenError:
        # Looked up only now: before the check another run may still have been about to claim.
        if shared and _is_same_plan(dest, document):
            return join_beside_others(dest, document)
        raise
    replaced = find_object(dest, MANIFEST_KEY) if overwrite else None
    own = _write_claim(dest, plan, document, overwrite=overwrite)
    if own is not None:
        owned = own if shared else _end_others(own, document)
        owned = join_claim(dest, document, folder=owned.claim.folder)
        if overwrite:
            owned = _clear_as_owner(owned, document, replaced)
        if not any(True for _ in dest.list(plan_parts_prefix(document.plan_id))):  # who was here before tidied up
            store_plan(owned, plan)
        return owned
    if not _is_same_plan(dest, document):  # or else its files are those that were just written once more
        dest.delete_all([info.key for info in dest.list(plan_parts_prefix(document.plan_id))])
    elif shared:
        return join_beside_others(dest, document)
    raise DestinationTakenError(_taken_text(dest))


def _write_claim(dest: Store, plan: Plan | StagedPlan, document: PlanDocument, *, overwrite: bool) -> Store | None:
    """Store a plan and claim the place for it; return the place as it was claimed, or None where another has it."""
    for _ in range(_MAX_ATTEMPTS):
        own = _open(dest, document, is_new=True)
        try:
            found = find_claim(dest) if overwrite else None
            store_plan(own, plan)
            if claim(own, document, found=found):
                return own
            own.end_claim()
            return None
        except (OSError, ClaimLostError) as error:
            own.end_claim()
            if not _is_taken(dest):
                raise
            # A run that was faster has ended this claim, or one that was done has tidied up: it may be replaced still.
            if not (overwrite and isinstance(error, ClaimLostError)):
                return None
    return None


def _clear_as_owner(owned: Store, document: PlanDocument, replaced: Tagged | None) -> Store:
    """Clear a place that was claimed; return it as it is written to."""
    while True:
        try:
            clear(owned, document, replaced)
            return owned
        except ClaimLostError:  # raised again if it is another plan's; a run that went on with this claim ends it, too
            owned, replaced = join_claim(owned, document), None


def _open(dest: Store, document: PlanDocument, *, is_new: bool) -> Store:
    """Return the place for writes before it is this run's."""
    return dest.claimed(Claim(folder=dest.open_folder(document.plan_id[:16], is_new=is_new)))


def _end_others(own: Store, document: PlanDocument) -> Store:
    """End the writes of all runs that do not own the place; return it as this one writes to it.

    Of two that claim it at once each may end the other: then the owner, whose the claim is, does it once more.
    """
    while True:
        try:
            own.end_others()
            return own
        except ClaimLostError:
            own = join_claim(own, document, folder=_open(own, document, is_new=True).claim.folder)


def join_beside_others(dest: Store, document: PlanDocument) -> Store:
    """Join the claim of the same plan, with a folder of this run's own; raises as `join_claim`.

    A folder that is there may be of a third run, which removes it as soon as it sees that the claim is another's.
    """
    return join_claim(dest, document, folder=_open(dest, document, is_new=True).claim.folder)


def join_claim(dest: Store, document: PlanDocument, *, folder: str | None = None) -> Store:
    """Return the place as a run writes to it that goes on with the claim that is there.

    Raises:
        ClaimLostError: the claim is of another plan.
    """
    if folder is None:
        folder = _open(dest, document, is_new=False).claim.folder
    # Looked at only now that the folder is there: who takes the place over writes the claim and then ends all folders.
    found = find_claim(dest)
    if found is None or parse_claim(found.data, name=f"{dest.uri}/{PLAN_KEY}").plan_id != document.plan_id:
        raise ClaimLostError(dest.uri)
    return dest.claimed(Claim(key=PLAN_KEY, tag=found.tag, folder=folder))


def find_finished(dest: Store, document: PlanDocument) -> Manifest | None:
    """Return the manifest of a plan's data set, if it is there.

    One of another plan, left where `overwrite=True` was killed before it could remove it, is removed.
    """
    manifest = load_manifest(dest, missing_ok=True)
    if manifest is not None and manifest.plan_id != document.plan_id:
        dest.delete(MANIFEST_KEY)
        return None
    return manifest


def find_outcome(dest: Store, document: PlanDocument) -> Manifest | None:
    """Return what another run of the same plan has finished while this one failed, or None.

    Raises:
        ClaimLostError: another run has taken the place over, which explains whatever failed.
    """
    try:
        stored = load_plan(dest)
        if stored is not None and stored.plan_id == document.plan_id:
            manifest = load_manifest(dest, missing_ok=True)
            if manifest is not None and manifest.plan_id == document.plan_id:
                return manifest
            dest.check_claim()
            return None
    except (OSError, DataSetError):  # nothing more is known
        return None
    raise ClaimLostError(dest.uri)


def mend_claim(dest: Store, plan: Plan | StagedPlan, document: PlanDocument) -> None:
    """Write a claim anew that a power cut has emptied, for the plan that what was packed already is of.

    Raises:
        DataSetError: what is there is of another plan.
    """
    manifest = load_manifest(dest, missing_ok=True)
    packed = manifest.plan_id[:16] if manifest is not None else receipts_plan(dest)
    if packed is not None and packed != document.plan_id[:16]:
        raise DataSetError(
            f"{dest.uri}/{PLAN_KEY}: a power cut has emptied it, and what was packed is of plan {packed}, while these "
            f"options and this source make plan {document.plan_id[:16]}; give the same options and source as before, "
            f"or start anew with `overwrite=True`"
        )
    own = _open(dest, document, is_new=False)
    store_plan(own, plan)
    replace_claim(own, document)


def _is_taken(dest: Store) -> bool:
    return any(info.key == key for key in (MANIFEST_KEY, PLAN_KEY) for info in dest.list(key))


def _is_same_plan(dest: Store, document: PlanDocument) -> bool:
    found = load_plan(dest)
    return found is not None and found.plan_id == document.plan_id


def _taken_text(dest: Store) -> str:
    is_finished = any(info.key == MANIFEST_KEY for info in dest.list(MANIFEST_KEY))
    state, remedy = ("a finished data set", "") if is_finished else ("an unfinished run", "go on with `resume=True`, ")
    return f"{dest.uri}: holds {state}; {remedy}replace it with `overwrite=True`, or choose another DEST"


def check_same_options(dest: Store, document: PlanDocument, options: dict[str, Any]) -> None:
    """Check that a run which goes on with a stored plan would give the bytes that the plan was made for.

    An option that the plan does not have, since it is younger than the plan, has its default there.

    Raises:
        OptionsError: an option differs; the message names it and both values.
        DataSetError: this release gives other bytes than the one that planned. Image libraries that do are refused
            where they are used.
    """
    planned = document.header.version
    if planned != PLAN_VERSION:
        raise DataSetError(
            f"{dest.uri}: planned by rules of version {planned}, expected {PLAN_VERSION}, as others give other bytes: "
            f"go on with the release of shardpack that began it, or start anew with `overwrite=True`"
        )
    defaults = default_options()
    for name in sorted((options.keys() | document.options.keys()) - _MAY_CHANGE):
        if name not in defaults and name not in options:
            raise DataSetError(
                f"{dest.uri}: begun with `{name}`, an option that this release does not have: go on with "
                f"the release of shardpack that began it, or start anew with `overwrite=True`"
            )
        before, now = document.options.get(name, defaults.get(name)), options.get(name, defaults.get(name))
        if before != now:
            is_moved = name == "source" and is_local(str(before))
            remedy = " (a source that was moved: make a symbolic link to it at that path)" if is_moved else ""
            raise OptionsError(
                f"expected {before!r} as in the run to be resumed, got {now!r}; give the same options{remedy}, or "
                f"start anew with `overwrite=True`",
                field=name,
            )


def check_command(dest: Store, document: PlanDocument, command: str) -> None:
    """Raise OptionsError for the plan of another command: it alone knows where the records and their counts are."""
    if document.command != command:
        raise OptionsError(
            f"{dest.uri}: holds an unfinished {document.command}, expected one of {command}; go on with "
            f"{document.command} `resume=True`, or choose another DEST"
        )


def clear(dest: Store, document: PlanDocument, replaced: Tagged | None) -> None:
    """Remove what was there before the plan that has claimed the place: the manifest first, so no reader sees a part.

    Others may have gone on with the claim already, even to the end, so nothing stays away that they write: a shard is
    replaced by the one of its name. `replaced` is the manifest that was there before the claim.
    """
    if replaced is not None and find_object(dest, MANIFEST_KEY) == replaced:
        dest.delete(MANIFEST_KEY)
    find_finished(dest, document)
    dest.delete_all(list(find_replaced(dest, document.header, document.plan_id)))


def remove_other_receipts(dest: Store, document: PlanDocument) -> None:
    """Remove receipts of plans that the place has not been claimed for any more: their shards will be replaced."""
    own = receipts_prefix(document.plan_id)
    receipts = (info.key for info in dest.list(RECEIPTS_PREFIX))
    # Those that lie in no folder are of releases that had none; each says whose it is.
    others = [key for key in receipts if "/" in key.removeprefix(RECEIPTS_PREFIX) and not key.startswith(own)]
    dest.delete_all(others)
