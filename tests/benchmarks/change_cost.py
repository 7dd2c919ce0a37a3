"""What a change costs: this checkout against another one, in packing, packing with ``--encode keep`` and resharding.

    git worktree add --detach ../before COMMIT
    python -m tests.benchmarks.change_cost ../before [FOLDER] [--ways WAY ...] [--copies N] [--rounds N] [--work FOLDER]

Both run in the environment of this Python. In a round each command runs once in either checkout, and the two share the
machine slice by slice, so a ratio is of two runs that met the same machine. Between rounds it changes which is first.
Each round's ratios are printed as it ends.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import (
    ProcessCost,
    add_photographs,
    create_parser,
    link_photographs,
    list_photographs,
    median,
    report,
    run_in_slices,
    run_process,
    spread,
)

_HERE = Path(__file__).parents[2]
_SHARDS = 8
_WAYS = ("pack", "keep", "reshard")


def main() -> None:
    parser = create_parser("cost of a change")
    parser.add_argument("before", type=Path, metavar="CHECKOUT", help="the code to compare with")
    add_photographs(parser)
    parser.add_argument("--copies", type=int, default=4, metavar="N", help="of each photograph [default: %(default)s]")
    parser.add_argument("--ways", nargs="+", choices=_WAYS, default=_WAYS, help="what is run [default: all]")
    parser.add_argument("--work", metavar="FOLDER", help="where files lie [default: the folder for temporary files]")
    given = parser.parse_args()
    if not (given.before / "packer").is_dir():
        sys.exit(f"{given.before}: expected a checkout of shardpack, found no folder packer in it")
    try:
        with tempfile.TemporaryDirectory(dir=given.work) as folder:
            figures = _measure(given, Path(folder))
    except subprocess.CalledProcessError as error:
        sys.exit(f"{error}\n{error.stderr}")
    report("change_cost", _rows(figures), figures, given.json)


def _measure(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    photographs = link_photographs(list_photographs(given.photographs), folder / "once")
    source = link_photographs(sorted(photographs.iterdir()) * given.copies, folder / "source")
    commands: dict[str, list[object]] = {
        "pack": ["pack", source, "--flat"],
        "keep": ["pack", source, "--flat", "--encode", "keep"],
        "reshard": ["reshard", folder / "packed"],
    }
    ways = {way: commands[way] for way in given.ways}
    if "reshard" in ways:
        run_process(_command(given.before, "pack", source, folder / "packed", "--flat"))
    checkouts = {"before": given.before.resolve(), "now": _HERE}
    costs: dict[str, dict[str, list[ProcessCost]]] = {way: {name: [] for name in checkouts} for way in ways}
    for index in range(given.rounds):
        names = list(checkouts) if index % 2 == 0 else list(reversed(checkouts))
        for way, (command, place, *options) in ways.items():
            both = [_command(checkouts[name], command, place, folder / f"{way} {name}", *options) for name in names]
            found = dict(zip(names, run_in_slices(both), strict=True))
            for name, cost in found.items():
                costs[way][name].append(cost)
            cpu, wall = found["now"].cpu_s / found["before"].cpu_s, found["now"].wall_s / found["before"].wall_s
            print(f"round {index + 1}, {way}: CPU {cpu:.3f}, wall {wall:.3f}", file=sys.stderr, flush=True)
    num_bytes = sum(path.stat().st_size for path in source.iterdir())
    return {"num_images": given.copies * len(list(photographs.iterdir())), "num_bytes": num_bytes} | {
        way: _compare(found["before"], found["now"]) for way, found in costs.items()
    }


def _command(checkout: Path, *arguments: object) -> list[str]:
    """Return what runs shardpack's code of a checkout: from there, since its workers look where they are first."""
    options = ["--gpus", _SHARDS, "--allow-fill", "--overwrite", "--workers", 1]
    return ["env", f"--chdir={checkout}", sys.executable, "-m", "packer", *map(str, [*arguments, *options])]


def _compare(before: Sequence[ProcessCost], now: Sequence[ProcessCost]) -> dict[str, Any]:
    return {
        figure: {
            "before_s": median([getattr(cost, figure) for cost in before]),
            "now_s": median([getattr(cost, figure) for cost in now]),
            "ratios": [getattr(new, figure) / getattr(old, figure) for old, new in zip(before, now, strict=True)],
        }
        for figure in ("cpu_s", "wall_s")
    }


def _rows(figures: dict[str, Any]) -> list[tuple[str, str, str]]:
    size = f"{figures['num_images']:,} photographs, {figures['num_bytes'] / 1e6:,.0f} MB"
    rows = [("source", size, "one worker")]
    for way in (way for way in _WAYS if way in figures):
        for figure, name in (("cpu_s", "CPU"), ("wall_s", "wall")):
            found = figures[way][figure]
            remark = f"{spread(found['ratios'])}; {found['before_s']:.2f} s before, {found['now_s']:.2f} s now"
            rows.append((f"{way}: {name}, now over before", f"{median(found['ratios']):.3f}", remark))
    return rows


if __name__ == "__main__":
    main()
