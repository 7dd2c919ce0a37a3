"""A class map: which id the folders or labels of each class get, from a file that the user has.

What such a file may hold:

    JSON        {"cat": 0, "dog": 1}                     name to id
                ["cat", "dog"]                           names, by id
                {"0": ["n01440764", "tench"], ...}       Keras' ImageNet index: id to folder and name
    other text  cat,0  or  cat                           one class a line; without ids, the line's number from 0
                n01440764 tench, Tinca tinca             WordNet's id, which names the folder, and the class's name
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from packer.errors import OptionsError, SourceError, StoreError
from packer.parsing import ParseError, parse_json
from packer.sources.image_names import quote
from packer.specs import DEFAULT_STORE, StoreOptions
from packer.stores.open_store import read_file

_MAX_CLASS_ID = 1_000_000
"""Names are kept by id, so an id costs memory however few there are."""
_MAX_FILE_BYTES = 100_000_000
_WORDNET_LINE = re.compile(r"(n\d{8})[\s,]+(\S.*)")
_ID = r"\d{1,18}"
_ID_LINE = re.compile(rf"(.*\S)\s*,\s*(-?{_ID})")
_HEADER = re.compile(r"[A-Za-z_ ]+,\s*(id|label|index|class_id)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Entry:
    folder: str
    class_id: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassMap:
    """Ids of classes."""

    path: str
    ids: dict[str, int]
    """By folder or label."""
    class_names: tuple[str, ...]
    """By id; empty text for an id that no class has."""

    def find_ids(self, names: Sequence[str], source: str) -> tuple[int, ...]:
        """Return the id of each name. Raises SourceError naming those that have none."""
        missing = [name for name in names if name not in self.ids]
        if missing or not names:
            problem = f"{len(missing):,} of {len(names):,} classes are not in it: {quote(missing)}"
            raise SourceError(
                f"{self.path}: {problem if names else 'there are no classes'} in {source!r}; "
                f"add them, remove their images, or leave the class map out",
                field="class_map",
            )
        return tuple(self.ids[name] for name in names)


def load_class_map(path: str, options: StoreOptions = DEFAULT_STORE) -> ClassMap:
    """Read a class map in one of the forms above, from a path or URI.

    Raises:
        SourceError: it cannot be read, has no class, or a name or an id twice, or an id outside [0, 1,000,000].
        StoreError: a remote place failed or refused.
    """
    try:
        text = read_file(path, options, max_bytes=_MAX_FILE_BYTES).decode("utf-8-sig")
    except StoreError:
        raise
    except OptionsError as error:
        raise SourceError(str(error), field="class_map") from None
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise SourceError(f"{path} cannot be read: {error}", field="class_map") from None
    try:
        return _build_map(path, _parse_json(text) if path.lower().endswith(".json") else _parse_lines(text))
    except ValueError as error:
        raise SourceError(f"{path}: {error}", field="class_map") from None


def _parse_json(text: str) -> list[_Entry]:
    try:
        value = parse_json(text)
    except ParseError as error:
        raise ValueError(f"not JSON: {error}") from None
    if isinstance(value, list):
        value = {name: index for index, name in enumerate(value)} if all(isinstance(n, str) for n in value) else None
    if not isinstance(value, dict):
        raise ValueError("expected a JSON object of names and ids, or an array of names")
    return [_parse_pair(key, entry) for key, entry in value.items()]


def _parse_pair(key: str, value: Any) -> _Entry:
    if isinstance(value, int) and not isinstance(value, bool):
        return _Entry(key, value, key)
    is_named = isinstance(value, list) and len(value) == 2 and all(isinstance(v, str) for v in value)
    if is_named and re.fullmatch(_ID, key):
        return _Entry(value[0], int(key), value[1])
    raise ValueError(f"expected a whole number as the id of {key!r}, got {str(value)[:80]!r}")


def _parse_lines(text: str) -> list[_Entry]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) > 1 and _HEADER.fullmatch(lines[0]) and _ID_LINE.fullmatch(lines[1]):
        lines = lines[1:]
    with_ids = [_ID_LINE.fullmatch(line) for line in lines]
    if any(with_ids):
        missing = next((line for line, match in zip(lines, with_ids, strict=True) if not match), None)
        if missing is not None:
            raise ValueError(f"expected NAME,ID on every line or on none, got {missing!r}")
        return [_Entry(match[1], int(match[2]), match[1]) for match in with_ids if match]
    entries = []
    for index, line in enumerate(lines):
        match = _WORDNET_LINE.fullmatch(line)
        entries.append(_Entry(match[1], index, match[2]) if match else _Entry(line, index, line))
    return entries


def _build_map(path: str, entries: list[_Entry]) -> ClassMap:
    if not entries:
        raise ValueError("nothing in it: expected one class a line, or a JSON object")
    names: dict[int, str] = {}
    ids: dict[str, int] = {}
    for entry in entries:
        if not 0 <= entry.class_id <= _MAX_CLASS_ID:
            raise ValueError(f"expected an id from 0 to {_MAX_CLASS_ID:,}, got {entry.class_id} for {entry.folder!r}")
        if entry.folder in ids or entry.class_id in names:
            raise ValueError(f"expected each name and each id once, got {entry.folder!r} or {entry.class_id} again")
        ids[entry.folder] = entry.class_id
        names[entry.class_id] = entry.name
    return ClassMap(path=path, ids=ids, class_names=tuple(names.get(index, "") for index in range(max(names) + 1)))
