"""``--compare size=224,256 quality=85,95``: an option that takes all settings behind it."""

from __future__ import annotations

import re
from collections.abc import Sequence

NAME = "--compare"
_SETTING = re.compile(r"[A-Za-z][\w-]*=.*")


def spread_settings(arguments: Sequence[str]) -> list[str]:
    """Return arguments in which each setting has ``--compare`` before it, as an option that is repeated."""
    spread: list[str] = []
    follows = False
    for argument in arguments:
        if follows and spread[-1] != NAME and _SETTING.fullmatch(argument):
            spread.append(NAME)
        elif spread[-1:] != [NAME]:
            follows = argument == NAME
        spread.append(argument)
    return spread
