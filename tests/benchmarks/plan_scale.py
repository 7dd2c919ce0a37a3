"""Planning at scale: millions of made-up items ordered, split, dealt and written as plan files.

    python -m tests.benchmarks.plan_scale [--items N] [--json FILE]

Prints seconds and the largest memory of each step, all in one process as in a run. Keys look like those of a data set
of class folders; sizes vary. A last step loads one shard's items, as each task does.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from packer.dataset.planfile import PlanDocument, load_shard_items, store_plan
from packer.imaging.fingerprint import encoder_fingerprint
from packer.options import parse_options
from packer.planning.order import hash_order
from packer.planning.plan import PlanRequest, build_plan
from packer.planning.reordered import Reordered
from packer.planning.shard_count import SizeEstimate
from packer.stores.local_store import LocalStore
from tests.benchmarks.measure import create_parser, peak_bytes, report

_CLASSES = 1000
_MEAN_BYTES = 44_000
_ROWS_PER_STEP = 1 << 20

Result = TypeVar("Result")


class _Steps:
    """Times steps and notes the largest memory so far."""

    def __init__(self) -> None:
        self.figures: dict[str, Any] = {}
        self.rows: list[tuple[str, str, str]] = []

    def run(self, name: str, call: Callable[[], Result]) -> Result:
        started, started_cpu = time.monotonic(), time.process_time()
        result = call()
        self.note(name, time.monotonic() - started, time.process_time() - started_cpu)
        return result

    def note(self, name: str, wall_s: float, cpu_s: float) -> None:
        self.figures[name] = {"cpu_s": cpu_s, "wall_s": wall_s, "peak_bytes": peak_bytes()}
        remark = f"{wall_s:7.2f} s by the clock, memory so far {peak_bytes() / 1e9:.2f} GB at most"
        self.rows.append((name, f"{cpu_s:.2f} s CPU", remark))


def make_items(num_items: int) -> pa.Table:
    """Return the item table of a folder of class folders, sorted by key."""
    chunks = []
    for start in range(0, num_items, _ROWS_PER_STEP):
        rows = range(start, min(start + _ROWS_PER_STEP, num_items))
        names = [f"n{r * _CLASSES // num_items:08d}/n{r:010d}_{r % 9973}.JPEG" for r in rows]
        sizes = pa.array([100_000 + r * 7919 % 50_000 for r in rows], pa.int64())
        labels = pa.array([r * _CLASSES // num_items for r in rows], pa.int64())
        chunks.append(pa.table({"key": pa.array(names, pa.large_string()), "num_bytes": sizes, "label": labels}))
    return pa.concat_tables(chunks).combine_chunks()


def main() -> None:
    parser = create_parser("planning millions of items")
    parser.add_argument("--items", type=int, default=10_000_000, metavar="N")
    parser.add_argument("--stratify", action="store_true", help="deal classes evenly")
    given = parser.parse_args()
    steps = _Steps()
    items = make_items(given.items)
    steps.note("before: items in memory", 0.0, 0.0)
    with tempfile.TemporaryDirectory() as folder:
        num_shards = _plan(given, items, steps, LocalStore(folder))
        num_bytes = sum(path.stat().st_size for path in Path(folder).rglob("*.parquet"))
    planning = [steps.figures[name] for name in ("order", "split and deal", "write")]
    total = {part: sum(step[part] for step in planning) for part in ("cpu_s", "wall_s")}
    figures = {
        "num_items": given.items,
        "num_shards": num_shards,
        "plan_bytes": num_bytes,
        "steps": steps.figures,
        "total": total,
        "peak_bytes": peak_bytes(),
    }
    rows = [
        *steps.rows,
        ("order to write", f"{total['cpu_s']:.2f} s CPU", f"{total['wall_s']:7.2f} s by the clock"),
        ("plan files", f"{num_bytes / 1e6:.0f} MB", f"{given.items:,} items, {num_shards:,} shards"),
    ]
    report("plan_scale", rows, figures, given.json)


def _plan(given: argparse.Namespace, items: pa.Table, steps: _Steps, store: LocalStore) -> int:
    wanted = {"gpus": 16, "split": "train=0.9,val=0.1", "stratify": given.stratify}
    options = parse_options({"source": "in", "dest": "out", **wanted})
    request = PlanRequest(
        format=options.format,
        image=options.image_spec(),
        encoder_sha256="0" * 64,
        seed=0,
        sharding=options.shard_spec(),
        splits=options.splits(),
        split_column=None,
        group_column=None,
        label_kind="class",
        class_names=(),
    )
    estimate = SizeEstimate(mean_bytes=_MEAN_BYTES, spread_bytes=_MEAN_BYTES // 3, num_probed=512)
    ordered = steps.run("order", lambda: Reordered.of(items).pick(hash_order(items.column("key"), seed=0)))
    plan = steps.run("split and deal", lambda: build_plan(ordered, estimate, request))
    steps.run("write", lambda: store_plan(store, plan))
    task = plan.header.num_tasks // 2
    document = PlanDocument(
        plan_id=plan.plan_id,
        header=plan.header,
        encoder=encoder_fingerprint(options.image_spec()),
        source_root="in",
        options={},
    )
    table = steps.run("load one shard's items", lambda: load_shard_items(store, document, task))
    assert table.num_rows
    return plan.header.num_tasks


if __name__ == "__main__":
    main()
