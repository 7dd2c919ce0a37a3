"""Which signal ends this process, and with which exit code: known to what catches it and to what says so."""

from __future__ import annotations

import signal
from dataclasses import dataclass

_INTERRUPTED = 130
_TERMINATED = 143


@dataclass(slots=True)
class StopSignal:
    """The signal that came, if one did."""

    number: int | None = None

    @property
    def code(self) -> int:
        """Exit code: 143 after SIGTERM, otherwise 130."""
        return _TERMINATED if self.number == signal.SIGTERM else _INTERRUPTED

    @property
    def word(self) -> str:
        """What people are told."""
        return "ended by SIGTERM" if self.number == signal.SIGTERM else "interrupted"


STOP = StopSignal()
"""Of this process."""
