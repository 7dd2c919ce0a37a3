"""The command line, with a clock on it: prints when the first image was done, then goes on as ever.

    python -m tests.benchmarks.first_image pack SOURCE DEST ...

The stamp is of the system's monotonic clock, which is one for all processes. A worker reports its first image at once.
"""

from __future__ import annotations

import sys
import time

from packer.cli.main import run
from packer.cli.plain_progress import PlainProgress


class _Clock:
    def __init__(self) -> None:
        self.is_running = True

    def advance(self, num_items: int, num_bytes: int) -> None:
        if self.is_running:
            self.is_running = False
            print(time.monotonic(), flush=True)


def main() -> None:
    clock = _Clock()
    PlainProgress.advance = clock.advance  # type: ignore[method-assign, assignment]
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
