"""Coverage-guided fuzzing: ``python -m tests.fuzz TARGET [libFuzzer options]``; needs atheris.

Each target runs until the time or the number of inputs that the options give; the first input that raises anything but
a PackerError, takes longer than 10 s or more than 2 GB ends it and is kept in build/fuzz.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["packer"]):
    from tests.fuzz.targets import TARGETS, check

FOLDER = Path("build/fuzz")


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"expected one of {', '.join(TARGETS)}")
    name, options = sys.argv[1], sys.argv[2:]
    corpus = FOLDER / name
    corpus.mkdir(parents=True, exist_ok=True)
    for index, seed in enumerate(TARGETS[name].seeds):
        (corpus / f"seed{index}").write_bytes(seed)
    limits = ["-timeout=10", "-rss_limit_mb=2048", f"-artifact_prefix={FOLDER}/{name}-", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], str(corpus), *limits, *options], lambda data: check(TARGETS[name], data))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
