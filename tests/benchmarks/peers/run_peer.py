"""Options of the benchmark against peers, and the order of its parts."""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import create_parser, report
from tests.benchmarks.peers.corpora import Corpus, copy_corpus, derive_camera_images, derive_photographs
from tests.benchmarks.peers.environments import BUILD, ROOT, installed_versions
from tests.benchmarks.peers.pack_peers import PART, Contest, hold_contest
from tests.benchmarks.peers.packers import PACKERS
from tests.benchmarks.peers.record_peers import CONTAINERS, RecordsContest, hold_records_contest
from tests.benchmarks.peers.result_tables import FOOTNOTES, print_contest, print_records, target_rows
from tests.benchmarks.shard_sizes import ShardSizes, measure_shard_sizes

_WHEELS = ROOT / "build" / "photographs"
_SIZED_SHARDS = 10
_PARTS = ("sample", "camera", "records")


def main() -> None:
    given = _parse()
    os.chdir(ROOT)
    BUILD.mkdir(parents=True, exist_ok=True)
    contests: list[Contest] = []
    sizes: list[ShardSizes] = []
    for name in ("sample", "camera"):
        if name in given.parts:
            contest, shard_sizes = _pack(name, given)
            contests.append(contest)
            sizes.append(shard_sizes)
            print_contest(contest)
    records = _records(given) if "records" in given.parts else None
    if records:
        print_records(records)
    print(f"\n{FOOTNOTES}\n")
    report("peers", target_rows(contests, sizes, records), _figures(contests, sizes, records), given.json)


def _parse() -> argparse.Namespace:
    parser = create_parser("shardpack against its peers")
    parser.set_defaults(rounds=3, json=str(BUILD / "peers.json"))
    parser.add_argument("--photographs", metavar="FOLDER", default=os.environ.get("SHARDPACK_SAMPLE"))
    parser.add_argument("--camera", metavar="FOLDER", help="photographs of 2 to 12 megapixels [default: derived]")
    parser.add_argument("--images", type=int, default=1000, metavar="N", help="photographs of everyday size")
    parser.add_argument("--camera-images", type=int, default=1000, metavar="N")
    parser.add_argument("--camera-rounds", type=int, metavar="N", help="[default: as --rounds]")
    parser.add_argument("--shards", type=int, default=8, metavar="N", help="shards that every packer makes")
    parser.add_argument("--compare", type=int, default=60, metavar="N", help="images whose PSNR is measured")
    parser.add_argument("--records", type=int, default=20_000, metavar="N")
    parser.add_argument("--record-bytes", type=int, default=30_000, metavar="N")
    parser.add_argument("--record-rounds", type=int, default=5, metavar="N")
    names = [container.name for container in CONTAINERS]
    parser.add_argument("--containers", nargs="+", choices=names, default=names, help="to write and read records with")
    parser.add_argument("--work", metavar="FOLDER", default=str(BUILD), help="where shards are written")
    parser.add_argument("--parts", nargs="+", choices=_PARTS, default=_PARTS)
    given = parser.parse_args()
    for name in ("photographs", "camera", "json", "work"):
        if folder := getattr(given, name):
            setattr(given, name, str(Path(folder).resolve()))
    if min(given.images, given.camera_images) < PART * given.shards:
        parser.error(f"expected at least {PART * given.shards} images of each kind for {given.shards} shards")
    return given


def _pack(name: str, given: argparse.Namespace) -> tuple[Contest, ShardSizes]:
    rounds = given.rounds if name == "sample" else given.camera_rounds or given.rounds
    with _work_folder(given) as folder:
        work = Path(folder)
        corpus = _corpus(name, given, work / "images")
        contest = hold_contest(corpus, work, rounds=rounds, shards=given.shards, compare=given.compare)
        target_mb = max(1, corpus.packed_bytes // _SIZED_SHARDS // 1_000_000)  # 1 MB is the least there is
        return contest, measure_shard_sizes(corpus.folder, work / "sized", target_mb=target_mb)


def _corpus(name: str, given: argparse.Namespace, dest: Path) -> Corpus:
    if name == "sample":
        found = given.photographs or derive_photographs(
            BUILD / f"photographs-{given.images}", _WHEELS, count=given.images
        )
        return copy_corpus(name, Path(found), dest, count=given.images)
    count = given.camera_images
    found = given.camera or derive_camera_images(BUILD / "camera", _WHEELS, count=count)
    return copy_corpus(name, Path(found), dest, count=count)


def _records(given: argparse.Namespace) -> RecordsContest:
    with _work_folder(given) as folder:
        counts = {"num_records": given.records, "record_bytes": given.record_bytes}
        containers = [container for container in CONTAINERS if container.name in given.containers]
        return hold_records_contest(Path(folder), containers, rounds=given.record_rounds, **counts)


def _work_folder(given: argparse.Namespace) -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(dir=given.work, prefix="work-", ignore_cleanup_errors=True)


def _figures(contests: list[Contest], sizes: list[ShardSizes], records: RecordsContest | None) -> dict[str, Any]:
    names = sorted({packer.environment for packer in PACKERS if packer.environment})
    return {
        "packing": {contest.corpus.name: contest.to_json() for contest in contests},
        "shard_sizes": {c.corpus.name: asdict(found) for c, found in zip(contests, sizes, strict=True)},
        "records": records.to_json() if records else None,
        "environments": {name: installed_versions(name) for name in names},
        "targets": target_rows(contests, sizes, records),
    }
