"""What the command line shows: tables for people on standard output, or one JSON object; the rest on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from packer.cli.comparison_table import comparison_lines, comparison_rows
from packer.cli.dataset_lines import (
    class_table,
    content_lines,
    fill_lines,
    image_line,
    label_lines,
    named_counts,
    record_values,
)
from packer.cli.phase_text import format_seconds
from packer.cli.progress_bar import create_progress
from packer.cli.shown_line import in_flags, shown_line
from packer.progress import Progress
from packer.shown_text import counted, format_size, shown_json, without_secrets

if TYPE_CHECKING:
    from packer.comparing import Comparison
    from packer.dataset.copies import CopyCounts
    from packer.dataset.facts import DataSetFacts
    from packer.dataset.manifest import Manifest, SplitEntry
    from packer.doctor import Check
    from packer.loading.bench_advice import BenchResult
    from packer.localjob.local_job import LocalJobResult
    from packer.pipeline import PackResult
    from packer.planning.costs import Traffic
    from packer.planning.plan import Plan
    from packer.reading.record_lookup import FoundRecord
    from packer.sagemaker.documents import MadeRequests
    from packer.spark_sizing import SparkNodes
    from packer.submitting.submit_run import Submission
    from packer.verifying import VerifyReport


class Output:
    """Shows results of one command, as tables or as JSON."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self.progress: Progress = create_progress()

    def packed(self, result: PackResult) -> None:
        """Show a finished data set."""
        if self._as_json:
            shards = {
                "dest": result.dest,
                "num_shards": result.num_shards,
                "reused_shards": result.num_reused,
                "packed_images": result.num_packed,
                "elapsed_s": round(result.elapsed_s, 3),
            }
            self._json({**shards, **(_summary(result.manifest, result.copies) if result.manifest else {})})
            return
        if result.manifest is None:
            done = f"{result.dest}: {counted(result.num_shards, 'shard')} of this part done"
            _print(f"{done}; after the last part: shardpack commit {result.dest}")
        else:
            _print_manifest(result.dest, result.manifest, result.copies)
        if result.num_packed:
            rate = result.num_packed / max(1e-3, result.elapsed_s)
            images = counted(result.num_packed, "image")
            _print(f"{images} in {format_seconds(result.elapsed_s)}, start-up included: {rate:,.0f} images/s")

    def inspected(
        self, uri: str, manifest: Manifest, copies: CopyCounts, facts: DataSetFacts, *, classes: bool
    ) -> None:
        """Show an existing data set; with `classes` a table of all of them, too."""
        splits = {name: _label_counts(split) for name, split in manifest.splits.items()}
        if self._as_json:
            more = {
                "image": msgspec.to_builtins(manifest.image),
                "classes": named_counts(splits, facts.class_names),
                "source": facts.source,
                "started": facts.started,
                "fields": msgspec.to_builtins(manifest.declared),
                "near_duplicates": msgspec.to_builtins(facts.near),
            }
            self._json({"dest": uri, **_summary(manifest, copies), **more})
            return
        _print_manifest(uri, manifest, copies)
        for line in content_lines(manifest, splits, facts):
            _print(line)
        if classes:
            _print_table(class_table(splits, facts.class_names))

    def reported(self, path: str, num_bytes: int) -> None:
        """Say where a report was written."""
        if self._as_json:
            self._json({"path": path, "num_bytes": num_bytes})
        else:
            _print(f"wrote {path}, {format_size(num_bytes)}")

    def showed(self, found: FoundRecord) -> None:
        """Show one record."""
        fields = record_values(found)
        if self._as_json:
            self._json(fields)
            return
        width = max(map(len, fields))
        for name, value in fields.items():
            _print(f"{name.ljust(width)}  {value}")

    def examined(self, checks: Sequence[Check]) -> None:
        """Show what was found of a machine."""
        if self._as_json:
            self._json({"checks": msgspec.to_builtins(checks), "ok": all(check.ok for check in checks)})
            return
        width = max(len(check.name) for check in checks)
        for check in checks:
            advice = f"  ({check.advice})" if check.advice else ""
            _print(f"{'ok' if check.ok else '!!'}  {check.name.ljust(width)}  {check.found}{advice}")

    def planned(self, plan: Plan, traffic: Traffic | None) -> None:
        """Show a plan, and what it would ask of buckets, where one is involved."""
        header = plan.header
        if self._as_json:
            classes = named_counts(_planned_counts(plan), header.class_names)
            costs = None if traffic is None else _costs(traffic)
            self._json(msgspec.to_builtins(header) | {"plan_id": plan.plan_id, "bucket": costs, "classes": classes})
            return
        rows: list[tuple[str, ...]] = [
            ("split", "items", "shards", "records a shard", "fills", "about a shard", "about in all")
        ]
        for split in header.splits:
            size = split.records_per_shard * header.mean_record_bytes
            total = (split.num_items + split.num_fills) * header.mean_record_bytes
            counts = (split.num_items, split.num_shards, split.records_per_shard, split.num_fills)
            rows.append((split.name, *(f"{count:,}" for count in counts), format_size(size), format_size(total)))
        _print_table(rows)
        _print(
            f"{header.format}, for {counted(header.world, 'GPU')}, {format_size(header.mean_record_bytes)} a record; "
            f"plan {plan.plan_id[:16]}; nothing was written"
        )
        fills = {s.name: (s.num_fills, s.num_items + s.num_fills) for s in header.splits}
        for line in (
            image_line(header.image),
            *label_lines(header.label_kind, _planned_counts(plan), header.class_names),
            *fill_lines(fills),
            *([] if traffic is None else [_traffic_line(traffic)]),
        ):
            _print(line)

    def compared(self, comparison: Comparison) -> None:
        """Show several settings side by side, and which to take."""
        from packer.planning.costs import PRICES_AS_OF

        if self._as_json:
            rows = [
                msgspec.to_builtins(each) | {"traffic": None if each.traffic is None else _costs(each.traffic)}
                for each in comparison.settings
            ]
            self._json(msgspec.to_builtins(comparison) | {"settings": rows})
            return
        _print_table(comparison_rows(comparison))
        for line in comparison_lines(comparison, prices_as_of=PRICES_AS_OF):
            _print(line)

    def sized(self, comparison: Comparison, nodes: SparkNodes) -> None:
        """Show a plan that was measured here, and how packing it would go on Spark."""
        from packer.cli.sizing_lines import size_plan, sizing_lines

        (plan,) = comparison.settings
        sizing = size_plan(comparison, nodes)
        if self._as_json:
            self._json(msgspec.to_builtins(sizing) | {"plan_id": plan.plan_id})
            return
        _print(f"about {format_size(plan.num_bytes)}, plan {plan.plan_id[:16]}")
        for line in sizing_lines(sizing):
            _print(line)

    def benched(self, result: BenchResult) -> None:
        """Show what loading delivers, what binds and what would help."""
        from packer.loading.bench_advice import advise

        advice = advise(result)
        if self._as_json:
            told = {"keeps_up": result.keeps_up, "binds": result.binds, "wanted_cpus": result.wanted_cpus}
            self._json({**msgspec.to_builtins(result), **told, "advice": msgspec.to_builtins(advice)})
            return
        stages = (result.store_us, result.decode_us, result.scale_us, result.hand_over_us, result.cpu_us)
        names = ("store", "decode", "crop and scale", "hand-over", "all, at full speed")
        rows = [("CPU time", "us an image"), *((name, f"{us:,.0f}") for name, us in zip(names, stages, strict=True))]
        _print_table(rows)
        _print(
            f"{result.dest} {result.split}: {result.capacity:,.0f} images/s at full speed, {result.threads} threads, "
            f"{result.num_cpus} vCPUs, decoder {result.decoder_id}"
        )
        if result.wanted is not None:
            verdict = "keeps up" if result.keeps_up else "does not keep up"
            _print(
                f"wanted: {result.wanted:,.0f} images/s, {result.wanted_cpus} vCPUs; reached: {result.reached:,.0f}; "
                f"waited {result.waited_share:.1%} of the time: {verdict}"
            )
        _print(f"bound by: {result.binds}")
        for each in advice:
            _print(f"would help: {each.what}: {each.effect}")

    def verified(self, report: VerifyReport) -> None:
        """Show what verification found."""
        if self._as_json:
            faults = [in_flags(fault) for fault in report.faults]
            self._json({**msgspec.to_builtins(report), "faults": faults, "ok": not faults})
            return
        for fault in report.faults:
            _print(f"FAULT {fault}")
        counts = f"{counted(report.num_shards, 'shard')}, {counted(report.num_records, 'record')}"
        seen = f"{counts}, {format_size(report.num_bytes)}"
        verdict = (
            f"{counted(len(report.faults), 'fault')} found" if report.faults else "every byte is as the manifest says"
        )
        _print(f"{report.uri}: {seen}: {verdict}")

    def local_job(self, result: LocalJobResult) -> None:
        """Show how the ranks of a job ended, and which of its channels nobody read."""
        if self._as_json:
            self._json({**msgspec.to_builtins(result), "ok": result.ok})
            return
        rows = [("rank", "instance", "local rank", "exit")]
        for rank in result.ranks:
            code = "not known" if rank.exit_code is None else str(rank.exit_code)
            rows.append((str(rank.rank), rank.host, str(rank.local_rank), code))
        rows += [("data host", data.host, "", str(data.exit_code)) for data in result.data_hosts]
        _print_table(rows)
        for use in result.channels if result.ok or result.stopped_by else ():  # a rank that fails reads nothing more
            if not use.num_bytes:
                _print(f"{use.host}: nobody read channel {use.channel}; SageMaker ends a job that leaves one unread")
        for host, text in result.failures:
            _print(f"{host}: output/failure says: {text}")

    def requested(self, made: MadeRequests) -> None:
        """Show the channels of a training job, which are JSON anyway; what else was done goes to standard error."""
        if self._as_json:
            document = {"dest": made.dest, "InputDataConfig": made.channels}
            self._json({**document, "uploaded": made.uploaded, "files": list(made.files)})
            return
        for key in made.uploaded:
            self.progress.note(f"wrote {made.dest}/{key}")
        for path in made.files:
            self.progress.note(f"wrote {path}")
        _write_json(msgspec.json.format(msgspec.json.encode(made.channels)))

    def submitted(self, made: Submission) -> None:
        """Show the requests of a job that was not sent, which are JSON anyway, or how a job stands."""
        if made.job is None:
            _write_json(msgspec.json.format(msgspec.json.encode(made.as_document())))
            return
        state = made.state.name if made.state else "sent"
        if self._as_json:
            self._json({"target": made.target, "job": made.job.job_id, "in": made.job.parent_id, "state": state})
        else:
            _print(f"{made.target} {made.job.label}: {state}")

    def told(self, document: object, lines: Iterable[str]) -> None:
        """Show a document as JSON, or else lines for people."""
        if self._as_json:
            self._json(document)
        else:
            for line in lines:
                _print(line)

    def checked(self, path: str, faults: Sequence[str], advice: Sequence[str]) -> None:
        """Show what is wrong with a request, and what is doubtful in it."""
        if self._as_json:
            shown_faults, warnings = ([in_flags(text) for text in texts] for texts in (faults, advice))
            self._json({"path": path, "faults": shown_faults, "warnings": warnings, "ok": not faults})
            return
        for text in advice:
            _print(f"WARNING {text}")
        for fault in faults:
            _print(f"FAULT {fault}")
        _print(
            f"{path}: {counted(len(faults), 'fault')} found"
            if faults
            else f"{path}: nothing is known to be wrong with it"
        )

    def failed(self, text: str, code: int) -> None:
        """Show an error as JSON; as text it goes to standard error."""
        self._json({"ok": False, "error": in_flags(without_secrets(text)), "exit_code": code})

    def _json(self, document: object) -> None:
        _write_json(msgspec.json.encode(document))


def _label_counts(split: SplitEntry) -> dict[int, int]:
    return {int(label): count for label, count in split.label_counts.items()}


def _planned_counts(plan: Plan) -> dict[str, dict[int, int]]:
    """Return the items of each planned split by class id."""
    counts = {}
    for split, table in zip(plan.header.splits, plan.tables, strict=True):
        counted_labels = table.column("label").value_counts().to_pylist() if plan.header.num_classes else []
        counts[split.name] = {pair["values"]: pair["counts"] for pair in counted_labels}
    return counts


def _costs(traffic: Traffic) -> dict[str, object]:
    from packer.planning.costs import PRICES_AS_OF  # Loads NumPy and Arrow, which nothing else here needs.

    return {
        **msgspec.to_builtins(traffic),
        "request_dollars": traffic.request_dollars,
        "storage_dollars_per_month": traffic.storage_dollars_per_month,
        "prices_as_of": PRICES_AS_OF,
    }


def _traffic_line(traffic: Traffic) -> str:
    from packer.planning.costs import PRICES_AS_OF

    return (
        f"on S3: {traffic.num_gets:,} GET, {traffic.num_puts:,} PUT, {traffic.num_lists:,} LIST, "
        f"{format_size(traffic.read_bytes)} read, {format_size(traffic.written_bytes)} written; about "
        f"${traffic.request_dollars:,.2f} for requests and ${traffic.storage_dollars_per_month:,.2f} a month for "
        f"storage (S3 Standard, us-east-1, list prices of {PRICES_AS_OF})"
    )


def _summary(manifest: Manifest, copies: CopyCounts) -> dict[str, object]:
    return {
        "plan_id": manifest.plan_id,
        "digest": manifest.digest,
        "format": manifest.format,
        "world": manifest.world,
        "num_classes": manifest.num_classes,
        "splits": {
            name: {
                "num_records": split.num_records,
                "num_fills": split.num_fills,
                "num_shards": len(split.shards),
                "num_bytes": sum(shard.num_bytes for shard in split.shards),
            }
            for name, split in manifest.splits.items()
        },
        "rejects": manifest.rejects,
        "num_duplicates": manifest.num_duplicates,
        "copies": msgspec.to_builtins(copies),
        "pixels": msgspec.to_builtins(manifest.pixels),
    }


def _print_manifest(uri: str, manifest: Manifest, copies: CopyCounts) -> None:
    rows: list[tuple[str, ...]] = [
        ("split", "records", "shards", "records a shard", "fills", "smallest", "largest", "in all")
    ]
    for name, split in manifest.splits.items():
        sizes = [shard.num_bytes for shard in split.shards]
        counts = {shard.num_records for shard in split.shards}
        span = f"{min(counts):,}" if len(counts) == 1 else f"{min(counts):,}-{max(counts):,}"
        rows.append((
            name, f"{split.num_records:,}", f"{len(sizes):,}", span, f"{split.num_fills:,}",
            *(format_size(size) for size in (min(sizes), max(sizes), sum(sizes))),
        ))  # fmt: skip
    _print_table(rows)
    labels = (
        counted(manifest.num_classes, "class", "classes") if manifest.num_classes else f"labels: {manifest.label_kind}"
    )
    _print(f"{uri}: {manifest.format}, for {counted(manifest.world, 'GPU')}, {labels}, plan {manifest.plan_id[:16]}")
    if manifest.pixels:
        mean, std = (", ".join(f"{v:.2f}" for v in values) for values in (manifest.pixels.mean, manifest.pixels.std))
        _print(f"pixels 0-255: mean {mean}; standard deviation {std}")
    rejects = ", ".join(f"{count:,} {reason}" for reason, count in manifest.rejects.items())
    _print(f"rejected: {rejects} (see meta/rejects.jsonl)" if rejects else "rejected: none")
    if manifest.num_duplicates:
        _print(f"exact copies of other items: {manifest.num_duplicates:,} (--dedupe leaves them out)")
    if copies.num_conflicts or copies.num_crossing:
        _print(
            f"sets of exact copies with different labels: {copies.num_conflicts:,}; in more than one split: "
            f"{copies.num_crossing:,} (see meta/duplicates.parquet)"
        )


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print a heading and its rows: the first column to the left, numbers to the right, whatever the terminal's width.

    Lines that a narrow terminal wraps can be read; numbers that are cut cannot.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        _print("  ".join((first.ljust(widths[0]), *cells)))


def _write_json(document: bytes) -> None:
    sys.stdout.write(shown_json(document.decode()) + "\n")


def _print(text: str) -> None:
    print(shown_line(text))  # noqa: T201
