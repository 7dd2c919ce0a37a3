"""The tables and the list of targets that the benchmark prints."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.benchmarks.measure import median
from tests.benchmarks.peers.pack_peers import Contest
from tests.benchmarks.peers.packers import IMG2DATASET, PACKERS, SHARDPACK
from tests.benchmarks.peers.record_peers import CHECKED, TENSORFLOW, RecordsContest, title
from tests.benchmarks.peers.record_peers import SHARDPACK as SHARDPACK_RECORDS
from tests.benchmarks.shard_sizes import ShardSizes

Row = tuple[str, str, str]

FOOTNOTES = """\
Equal: the photographs, short side 256 pixels, JPEG quality 95 with 4:2:0 chroma, the number of shards (MDSWriter cuts
by bytes), a local disk, warm files. Not equal:
  img2dataset   takes URLs alone: a file server on loopback serves it, whose CPU time is not counted, but which shares
                the machine's cores, so its images/s are those of a machine with other work. Its list of URLs is made
                beforehand. It hashes each source, as shardpack does; EXIF fields are not extracted. It resamples with
                OpenCV's AREA when it shrinks.
  im2rec        resamples with OpenCV's LINEAR, which leaves aliases: less work, and what PSNR shows. Its lists are
                made beforehand. Two workers are two readers and a writer. OpenCV may use more threads than workers.
  MDSWriter, webdataset, litdata, TFDS
                have no resize; Pillow does it, as their documentation leaves it to the user: full decoding, Lanczos,
                no attention to EXIF orientation or colour profiles. With two workers MDSWriter and webdataset are two
                processes of an own pool. TFDS generates in one process.
  shardpack     alone also keeps checksums, an index, a table of records, statistics of pixels, EXIF orientation and
                colour profiles, and a plan that makes shards equal. Its listing of the folder is counted.
misshapen: images, of those compared, that are not of the upright photograph's shape. PSNR is that of the others,
decoded, against the whole photograph resampled by Lanczos in floating point; JPEG's own loss is in all of them."""


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print(f"\n{title}")
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    for row in [header, *rows]:
        cells = [
            f"{cell:<{width}}" if column == 0 else f"{cell:>{width}}"
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  " + "  ".join(cells).rstrip())


def print_contest(contest: Contest) -> None:
    """Print one row for each packer; ratios are of CPU time with one worker, to shardpack's."""
    corpus = contest.corpus
    title = (
        f"packing {corpus.name}: {len(corpus.images)} images of {corpus.num_bytes / len(corpus.images) / 1e3:.0f} KB"
    )
    header = ["", "img/s 1", "img/s 2", "CPU ms 1", "CPU ms 2", "ratio", "later ms", "MB out", "PSNR", "misshapen"]
    print_table(title + ", medians, start-up included", header, [_packer_row(contest, p.name) for p in PACKERS])
    for name, error in contest.errors.items():
        print(f"  {name}: failed: {error}")


def _packer_row(contest: Contest, name: str) -> list[str]:
    if name in contest.errors:
        return [name, *["failed"] * 2, *[""] * 7]
    one = contest.figures(name, 1)
    two = contest.figures(name, 2) if (name, 2) in contest.outcomes else {}
    quality = contest.qualities[name]
    later = one.get("cpu_ms_per_image_after_start_up")
    return [
        name,
        f"{one['images_per_s']:.0f}",
        f"{two['images_per_s']:.0f}" if two else "-",
        f"{one['cpu_ms_per_image']:.2f}",
        f"{two['cpu_ms_per_image']:.2f}" if two else "-",
        f"{cpu_ratio(contest, name, 1):.2f}",
        f"{later:.2f}" if later is not None else "",
        f"{one['output_bytes'] / 1e6:.1f}",
        f"{quality.median_db:.1f}",
        f"{quality.num_misshapen}/{quality.num_compared}",
    ]


def cpu_ratio(contest: Contest, name: str, workers: int) -> float:
    """Return the median over rounds of a packer's CPU time over shardpack's in the same round."""
    pairs = zip(contest.outcomes[name, workers].cpu_s, contest.outcomes[SHARDPACK, workers].cpu_s, strict=True)
    return median([peer / ours for peer, ours in pairs])


def print_records(contest: RecordsContest) -> None:
    """Print what shardpack took over all of its passes, and every other beside the passes next to its own."""
    size = f"{contest.num_records} records of {contest.record_bytes} bytes, CPU time of the process"
    header = ["", "MB per CPU s", "shardpack is times"]
    print_table(f"framing: {size}", header, _writing_rows(contest))
    header = ["", "us per record", "times shardpack checked", "later passes", "times"]
    print_table(f"reading: {size}, its first pass and later ones", header, _reading_rows(contest))
    for name, error in contest.errors.items():
        print(f"  {name}: failed: {error}")


def _writing_rows(contest: RecordsContest) -> list[list[str]]:
    ours = [cpu_s for passes in contest.writing.values() for cpu_s in passes.ours]
    rows = [[SHARDPACK_RECORDS.name, f"{contest.mb_per_cpu_s(ours):.0f}", "1.00"]] if ours else []
    for name, passes in contest.writing.items():
        if name != SHARDPACK_RECORDS.name and name not in contest.errors:
            rows.append([name, f"{contest.mb_per_cpu_s(passes.theirs):.0f}", f"{passes.ratio:.2f}"])
    return rows


def _reading_rows(contest: RecordsContest) -> list[list[str]]:
    first, again = contest.reading, contest.reading_again
    ours = [[cpu_s for passes in part.values() for cpu_s in passes.ours] for part in (first, again)]
    if not all(ours):  # nothing was read to the end
        return []
    ours_us, ours_again_us = (f"{contest.us_per_record(cpu_s):.1f}" for cpu_s in ours)
    return [
        [title((SHARDPACK_RECORDS.name, CHECKED)), ours_us, "1.00", ours_again_us, "1.00"],
        *(
            [
                title(key),
                f"{contest.us_per_record(first[key].theirs):.1f}",
                f"{first[key].ratio:.2f}",
                f"{contest.us_per_record(again[key].theirs):.1f}",
                f"{again[key].ratio:.2f}",
            ]
            for key in first
            if key[0] not in contest.errors
        ),
    ]


def target_rows(contests: Sequence[Contest], sizes: Sequence[ShardSizes], records: RecordsContest | None) -> list[Row]:
    """Return (target, figure, verdict) for everything that was measured."""
    rows: list[Row] = []
    for contest, shard_sizes in zip(contests, sizes, strict=True):
        wanted = 2.0 if contest.corpus.name == "camera" else 1.6
        rows += [*_against_img2dataset(contest, wanted), *_against_all(contest), *_scaling(contest)]
        rows.append(_shards_row(contest, shard_sizes))
    return rows + (_record_rows(records) if records else [])


def _against_img2dataset(contest: Contest, wanted: float) -> list[Row]:
    rows = []
    for workers in (1, 2):
        found = [cpu_ratio(contest, name, workers) for name in IMG2DATASET if name not in contest.errors]
        if found:
            what = f"{contest.corpus.name}: images per CPU second, {workers} workers, times img2dataset (>= {wanted})"
            rows.append(_row(what, min(found), wanted))
    return rows + _after_start_up(contest)


def _after_start_up(contest: Contest) -> list[Row]:
    """Give the ratio that a data set of any size tends to; it is no target of its own."""
    name = next(packer.name for packer in PACKERS if packer.fit and packer.name != SHARDPACK)
    if name in contest.errors:
        return []
    theirs, ours = (contest.figures(n, 1)["cpu_ms_per_image_after_start_up"] for n in (name, SHARDPACK))
    what = f"{contest.corpus.name}: the same after start-up, 1 worker, {name}"
    return [(what, f"{theirs / ours:.2f}", f"{theirs:.2f} over {ours:.2f} ms")]


def _against_all(contest: Contest) -> list[Row]:
    """Compare images per second with two workers (one, where a peer has no more) with the fastest peer's."""
    rates = {
        packer.name: contest.figures(packer.name, packer.max_workers)["images_per_s"]
        for packer in PACKERS
        if packer.name not in contest.errors
    }
    ours = rates.pop(SHARDPACK)
    if not rates:
        return []
    best = max(rates, key=lambda name: rates[name])
    what = f"{contest.corpus.name}: images/s with 2 workers, times the fastest peer's, {best} (> 1)"
    return [_row(what, ours / rates[best], 1.0)]


def _scaling(contest: Contest) -> list[Row]:
    one, two = (contest.figures(SHARDPACK, workers)["images_per_s_after_start_up"] for workers in (1, 2))
    return [_row(f"{contest.corpus.name}: two workers over one, after start-up (>= 1.8)", two / one, 1.8)]


def _shards_row(contest: Contest, sizes: ShardSizes) -> Row:
    what = f"{contest.corpus.name}: largest shard within 128 MB, mean within 15 % of the target"
    figure = f"{sizes.largest_bytes / 1e6:.2f} MB, {100 * sizes.offset:+.1f} %"
    return (
        what,
        figure,
        _verdict(sizes.fits) + f"  ({sizes.num_shards} shards, target {sizes.target_bytes / 1e6:.0f} MB)",
    )


def _record_rows(contest: RecordsContest) -> list[Row]:
    """Compare with TensorFlow, in reading with its cheaper way, in a process's first pass and in later ones."""
    if TENSORFLOW in contest.errors or TENSORFLOW not in contest.writing:
        return []
    ways = [key for key in contest.reading if key[0] == TENSORFLOW]
    reading = "reading with checksums: records per CPU second, times tf.data from Python"
    first, again = (min(part[key].ratio for key in ways) for part in (contest.reading, contest.reading_again))
    return [
        _row(
            "framing: bytes per CPU second, times tf.io.TFRecordWriter (>= 2)", contest.writing[TENSORFLOW].ratio, 2.0
        ),
        _row(f"{reading}, first pass (>= 10)", first, 10.0),
        _row(f"{reading}, later passes (>= 10)", again, 10.0),
    ]


def _row(what: str, figure: float, wanted: float) -> Row:
    if math.isnan(figure):
        return what, "-", "not to be told: other work on the machine drowned the difference"
    return what, f"{figure:.2f}", _verdict(figure >= wanted)


def _verdict(is_met: bool) -> str:
    return "met" if is_met else "MISSED"
