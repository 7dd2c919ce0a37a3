"""shardpack against its peers: packing photographs, framing records, reading them.

    make photographs
    .venv/bin/python tests/benchmarks/bench_peers.py [--images N] [--camera-images N] [--rounds N] [--json FILE]

Method
------
Peers are the packages on PyPI, unchanged, at the versions in ``peers/requirements/``, each set in an environment of its
own below ``build/bench/environments``, made at the first run. What cannot be installed or run stands in the table with
its error. An adapter of a few lines in ``peers/adapters`` does what a peer's documentation shows; img2dataset and
im2rec are run by their own command lines.

Packing: a whole command, from its start to its end, packs a folder of photographs into shards: short side 256 pixels,
JPEG quality 95. Sets: ``sample``, the folder that SHARDPACK_SAMPLE names or, without it, derived photographs of
everyday size; ``camera``, a folder or derived files of 2 to 12 megapixels. With one worker and with two, in turns,
every other round backwards; medians over rounds. CPU time is user plus system of all processes below the command,
orphans included, by the kernel's own account. Ratios are taken within a round. shardpack and img2dataset also pack a
fifth of each set, so that the cost per image after start-up can be told (``later ms``). A first run of each on
a few images warms the caches and is not counted. What came out is counted, decoded, and compared with the photograph
resampled by Lanczos in floating point.

Framing and reading: the same records of random bytes, written to one or a few files of the local disk and read back
from the page cache, CPU time of a process without imports. Each peer's process runs beside one of shardpack's, and the
two write, or read, in turns: a ratio is that of two passes next to each other, the figure is their median over all
rounds. The first time that records are written does not count, so that nobody pays for memory that the machine had
never touched. Every way to read has a process of its own: the first pass pays for what a library sets up at its first
use, as a packing command does; later ones do not.

CPU time is the figure to trust on a machine that does other work; images per second are its wall clock. Whatever could
not be made equal is printed below the tables.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    # Run by its path, as `make bench` does, only this folder can be imported from.
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from tests.benchmarks.peers.run_peer import main as run

    run()


if __name__ == "__main__":
    main()
