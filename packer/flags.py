"""How command lines spell the names of options.

Everything below them speaks of options by the names of their fields, in back quotes: `shard_size`, `encode=keep`,
`resume=True`. A caller in Python reads that as it is; a command line passes it through `with_flags` before a person
reads it: --shard-size, --encode keep, --resume.
"""

from __future__ import annotations

import re
from collections.abc import Collection

_MENTION = re.compile(r"`([a-z][a-z0-9_]*)(?:=([^`]*))?`")
_ARGUMENTS = ("source", "dest")
"""They have places on the command line instead of flags."""


def option_name(field: str, *, arguments: Collection[str] = _ARGUMENTS) -> str:
    """Return ``--shard-size`` for ``shard_size``; fields that have places instead of flags are upper-case words."""
    return field.upper() if field in arguments else "--" + field.replace("_", "-")


def with_flags(text: str, names: Collection[str], *, arguments: Collection[str] = _ARGUMENTS) -> str:
    """Return text with those options that a command line has in its own spelling.

    `names` are their fields; `arguments` are those of them that have places on the command line instead of flags.
    """

    def spell(mention: re.Match[str]) -> str:
        field, value = mention.groups()
        if field not in names:
            return mention[0]
        flag = option_name(field, arguments=arguments)
        return flag if value in (None, "True") else f"{flag} {value}"

    return _MENTION.sub(spell, text)
