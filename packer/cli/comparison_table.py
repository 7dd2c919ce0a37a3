"""Several settings side by side, as a table for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from packer.cli.phase_text import format_seconds
from packer.cli.shown_line import in_flags
from packer.shown_text import counted, format_size

if TYPE_CHECKING:
    from packer.comparing import ComparedSetting, Comparison


def comparison_rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """Return a heading and a row for each setting that can be packed; the recommended one is marked with a star.

    Requests and prices have columns only where a bucket is involved.
    """
    names = list(dict.fromkeys(name for each in comparison.settings for name in each.setting))
    known = [(index, each) for index, each in enumerate(comparison.settings) if not each.problem]
    machine, has_bucket = comparison.machine, any(each.traffic for _, each in known)
    heading = (" ", *names, "about in all", "a record", "shards", "images/s", "packed in")
    heading += () if machine is None else (f"on {machine.name}",)
    heading += ("requests", "for them", "a month") if has_bucket else ()
    rows = [(*heading, "PSNR")]
    for index, each in known:
        mark = "*" if index == comparison.recommended else " "
        row = [mark, *(each.setting.get(name, "") for name in names), *_sizes(each)]
        row += [] if each.pack_s_on is None else [_duration(each.pack_s_on)]
        row += _costs(each) if has_bucket else []
        rows.append((*row, "lossless" if each.psnr_db is None else f"{each.psnr_db:.1f} dB"))
    return rows


def _sizes(each: ComparedSetting) -> Sequence[str]:
    return (
        format_size(each.num_bytes),
        format_size(each.mean_record_bytes),
        f"{each.num_shards:,}",
        f"{each.images_per_s:,.0f}",
        _duration(each.pack_s),
    )


def _duration(seconds: float) -> str:
    return format_seconds(seconds) if seconds >= 10 else f"{seconds:.1f} s"


def _costs(each: ComparedSetting) -> Sequence[str]:
    traffic = each.traffic
    assert traffic is not None
    num_requests = traffic.num_gets + traffic.num_puts + traffic.num_lists
    return f"{num_requests:,}", f"${traffic.request_dollars:,.2f}", f"${traffic.storage_dollars_per_month:,.2f}"


def comparison_lines(comparison: Comparison, *, prices_as_of: str) -> Iterator[str]:
    """Yield what stands below the table."""
    for each in comparison.settings:
        if each.problem:
            yield f"not {_name(each)}: {in_flags(each.problem)}"
    yield f"* {_name(comparison.settings[comparison.recommended])}: {comparison.reason}"
    workers = counted(comparison.num_workers, "worker")
    yield (
        f"measured on {counted(comparison.num_sampled, 'image')} with {workers} of this machine, by the CPU time of "
        "reading, resizing and encoding without start-up; nothing was written"
    )
    if comparison.machine is not None:
        yield f"on {comparison.machine.name}: {comparison.machine.num_vcpus:,} vCPUs, each as fast as one worker here"
    yield (
        f"PSNR: encoded against resized pixels, the median of {counted(comparison.num_with_loss, 'image')}; it says "
        "what encoding takes away, not what resizing does"
    )
    if any(each.traffic for each in comparison.settings):
        yield f"prices: requests once, storage a month, S3 Standard in us-east-1, list prices of {prices_as_of}"


def _name(each: ComparedSetting) -> str:
    return ", ".join(f"{name} {value}" for name, value in each.setting.items())
