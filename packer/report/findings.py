"""Findings that a user should know before training on a data set, in plain words. All functions are pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from packer.dataset.manifest import Manifest
from packer.flags import with_flags
from packer.options import PackOptions
from packer.planning.class_findings import (
    ClassUse,
    Finding,
    count_of,
    first_of,
    missing_classes,
    named,
    unused_ids,
)
from packer.report.report_facts import ReportFacts
from packer.specs import is_training_split

_FEW_ITEMS = 10
_DARK = 12.0
"""Mean brightness, 0 to 255, below which a picture shows little."""
_FLAT = 3.0
"""Standard deviation of the brightness below which a picture shows nothing."""
_MANY_FILLS = 0.02


def find(facts: ReportFacts) -> tuple[Finding, ...]:
    """Return the findings, the most serious first."""
    found = [*_copies(facts), *_classes(facts), *_rejects(facts), *_fills(facts.manifest), *_pictures(facts)]
    options = PackOptions.__struct_fields__
    return tuple(Finding(text=one.text, advice=with_flags(one.advice, options)) for one in found)


def _copies(facts: ReportFacts) -> Iterator[Finding]:
    records = facts.records
    where = "" if records.has_all_copies else " of the records that were looked at"
    if records.num_conflicts:
        yield Finding(
            text=f"Images that are there more than once with different labels{where}: {records.num_conflicts:,}.",
            advice="Look at the list below, mend the labels, and pack anew.",
        )
    if records.num_crossing:
        yield Finding(
            text=f"Images that lie in more than one split{where}, so that evaluation sees what training saw: "
            f"{records.num_crossing:,}.",
            advice="Pack anew with --dedupe, or keep related images in one split with --group-column.",
        )
    if facts.manifest.num_duplicates:
        yield Finding(
            text=f"Exact copies of other images: {facts.manifest.num_duplicates:,}.",
            advice="--dedupe packs one of each.",
        )


def _classes(facts: ReportFacts) -> Iterator[Finding]:
    manifest = facts.manifest
    if not manifest.num_classes:
        return
    counts = {
        name: {int(label): count for label, count in split.label_counts.items()}
        for name, split in manifest.splits.items()
    }
    use = ClassUse(counts=counts, num_classes=manifest.num_classes, names=facts.class_names)
    for name in manifest.splits:
        yield from missing_classes(use, name)
        few = sorted(label for label, count in counts[name].items() if 0 < count < _FEW_ITEMS)
        if few and is_training_split(name):
            yield Finding(
                text=f"{count_of(len(few), 'class')} with fewer than {_FEW_ITEMS} images in split {name}: "
                f"{named(use, few)}.",
                advice="A network learns little of them: collect more, or leave them out.",
            )
    yield from unused_ids(use)


def _rejects(facts: ReportFacts) -> Iterator[Finding]:
    num_rejects = sum(facts.manifest.rejects.values())
    if num_rejects:
        reasons = ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in facts.manifest.rejects.items())
        yield Finding(
            text=f"{count_of(num_rejects, 'image')} could not be packed: {reasons}.",
            advice="They are listed below with their reasons.",
        )


def _fills(manifest: Manifest) -> Iterator[Finding]:
    for name, split in manifest.splits.items():
        if split.num_fills > _MANY_FILLS * max(1, split.num_records):
            yield Finding(
                text=f"Records of split {name} that repeat another one: {split.num_fills:,}, "
                f"{split.num_fills / split.num_records:.1%} of all.",
                advice="Shards must be equal in records for every GPU; larger shards need fewer repeats.",
            )


def _pictures(facts: ReportFacts) -> Iterator[Finding]:
    blank = [picture.key for picture in facts.pictures if picture.thumbnail.spread < _FLAT]
    dark = [
        picture.key
        for picture in facts.pictures
        if picture.thumbnail.mean < _DARK and picture.thumbnail.spread >= _FLAT
    ]
    if blank:
        yield Finding(
            text=f"{_of_sheet(blank, facts)} {'has' if len(blank) == 1 else 'have'} one colour only: "
            f"{first_of(blank, len(blank))}.",
            advice="See whether the source files are what they should be.",
        )
    if dark:
        yield Finding(
            text=f"{_of_sheet(dark, facts)} {'is' if len(dark) == 1 else 'are'} almost black: "
            f"{first_of(dark, len(dark))}.",
            advice="See whether the source files are what they should be.",
        )


def _of_sheet(keys: Sequence[str], facts: ReportFacts) -> str:
    return f"{count_of(len(keys), 'image')} of the {len(facts.pictures):,} images on the contact sheet"
