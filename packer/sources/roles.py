"""Which column of a listing is what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from packer.errors import SourceError
from packer.sources.augmented import find_labelled, find_metadata, find_reference
from packer.sources.image_names import is_image, quote
from packer.sources.items import ITEM_COLUMNS, NUM_BYTES, RESERVED_NAMES, SourceSpec
from packer.sources.tables import RawTable, TableKind, find_delimiter

KEY_NAMES = ("key", "path", "file", "filename", "file_name", "filepath", "image", "image_path", "uri", "url")
"""Names of a path column, in any case of letters; more than one of them needs `key_column`."""
_OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_MAX_SHOWN = 80

LABEL_NAMES = ("label", "class", "target", "category")
"""Names of a label column, in any case of letters; the first that is there counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """The columns of a listing by what they are for."""

    key: str
    labels: tuple[str, ...]
    """None, the label's column, or several whose values make a vector."""
    extras: tuple[str, ...]
    notices: tuple[str, ...]
    """What was left out, in plain sentences."""


def find_roles(raw: RawTable, spec: SourceSpec) -> Roles:
    """Tell the columns of a listing apart by the spec, or else by their names.

    Raises:
        SourceError: a column that the spec names is not there; a path's or label's cannot be told; a name is reserved.
    """
    names: list[str] = [name for name in raw.table.column_names if name not in spec.field_columns]
    key = _find_key(raw, names, spec)
    metadata = find_metadata(raw)
    labels = _find_labels([name for name in names if name != key and name not in metadata], spec)
    notices = [f"column {name!r} left out: metadata of Ground Truth" for name in metadata]
    if not labels and (found := find_labelled(metadata)):
        notices.append(f"no labels: name an attribute such as {quote(found)} with `label_column` for labels")
    extras = [name for name in names if name != key and name not in labels and name not in metadata]
    taken = sorted(RESERVED_NAMES.intersection(extras))
    if taken:
        raise SourceError(f"{raw.name}: the column name {taken[0]!r} is kept for the data set's own; rename the column")
    kept = []
    for name in extras:
        if name == NUM_BYTES:
            notices.append(f"column {name!r} left out: sizes are read from the files")
        elif name in ITEM_COLUMNS:
            notices.append(f"column {name!r} left out: another column was named for it")
        elif name.startswith("_"):
            notices.append(f"column {name!r} left out: names with a leading underscore are kept; rename it to have it")
        else:
            kept.append(name)
    return Roles(key=key, labels=labels, extras=tuple(kept), notices=tuple(notices))


def _find_key(raw: RawTable, names: Sequence[str], spec: SourceSpec) -> str:
    if spec.key_column is not None:
        return expect_column(names, spec.key_column, "key_column")
    wanted = spec.label_column.split(",") if spec.label_column else []
    found = [name for name in names if name.lower() in KEY_NAMES and name not in wanted]
    if len(found) == 1:
        return found[0]
    reference = None if found else find_reference(raw)
    if reference is not None:
        return reference
    problem = (
        f"{len(found)} columns look like paths ({_join(found)})"
        if found
        else (f"no column is named {', '.join(KEY_NAMES[:-1])} or {KEY_NAMES[-1]} (its columns: {_join(names)})")
    )
    remedy = _find_remedy(raw) or "name the path's column with `key_column`"
    raise SourceError(f"{spec.source}: {problem}; {remedy}")


def _find_remedy(raw: RawTable) -> str:
    """Return what to write where the first line of a CSV shows what is wrong with all of it; else nothing."""
    names: list[str] = raw.table.column_names
    if raw.kind is not TableKind.CSV:
        return ""
    for character, noun in _OTHER_DELIMITERS.items():
        if len(names) == 1 and character in names[0] and character != find_delimiter(raw.files[0]):
            header = names[0].replace(character, ",")
            return f"its values stand between {noun}; write commas between them, as in {header[:_MAX_SHOWN]!r}"
    if any(is_image(name) for name in names):
        header = ",".join("path" if is_image(name) else f"column{index}" for index, name in enumerate(names))
        header = "path,label" if len(names) == 2 and is_image(names[0]) else header
        return f"its first line is a row, not the columns' names; write a line such as {header!r} above it"
    return ""


def _find_labels(names: Sequence[str], spec: SourceSpec) -> tuple[str, ...]:
    given = spec.label_column
    if given is not None:
        parts = (given,) if given in names else tuple(part.strip() for part in given.split(","))
        if len(set(parts)) != len(parts):
            raise SourceError(f"expected each column once, got {given!r}", field="label_column")
        return tuple(expect_column(names, part, "label_column") for part in parts)
    for wanted in LABEL_NAMES:
        found = [name for name in names if name.lower() == wanted]
        if len(found) > 1:
            raise SourceError(
                f"{spec.source}: the columns {_join(found)} look like labels; name one with `label_column`"
            )
        if found:
            return (found[0],)
    return ()


def expect_column(names: Sequence[str], name: str, field: str) -> str:
    if name not in names:
        raise SourceError(f"no column {name!r}; expected one of {_join(names)}", field=field)
    return name


def _join(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:20])
    return shown + ", ..." * (len(names) > 20) or "none"
