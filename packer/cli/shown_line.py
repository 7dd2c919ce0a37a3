"""Lines that the command `shardpack` prints: its own flags in place of the fields' names, and nothing that can harm."""

from __future__ import annotations

import sys
import time

from packer.flags import with_flags
from packer.logs import inherited_settings, json_line
from packer.options import PackOptions
from packer.sagemaker.job_options import SageMakerOptions
from packer.shown_text import shown, without_secrets
from packer.submitting.submit_options import SubmitOptions

_OPTION_NAMES = frozenset({
    *PackOptions.__struct_fields__,
    *SageMakerOptions.__struct_fields__,
    *SubmitOptions.__struct_fields__,
    *("config", "decode", "json", "card", "compare", "on"),
    *("mpi", "base_dir", "grace_s", "shuffle_seed", "assignment_seed"),
    *("threads", "cache", "step", "batch_size"),
})  # fmt: skip


def in_flags(text: str) -> str:
    """Return text with the command's flags in it, for JSON too."""
    return with_flags(text, _OPTION_NAMES)


def say_line(text: str, *, level: str = "info", before: str = "") -> None:
    """Print a line on standard error, as JSON where that was asked for; `before` is for people alone."""
    settings = inherited_settings()
    if settings is not None and settings.log_json:
        shown_now = json_line(level, "packer.cli", without_secrets(in_flags(text)), time.time())
    else:
        shown_now = before + shown_line(text)
    print(shown_now, file=sys.stderr, flush=True)  # noqa: T201


def shown_line(text: str) -> str:
    """Return text as one line for a terminal or a log."""
    return shown(in_flags(text))
