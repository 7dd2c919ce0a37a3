"""How far a phase is, in words that fit a line: done of all, rates with their units, rejects, time left."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseState:
    """What was done in a phase up to a moment."""

    num_items: int = 0
    """In this run."""
    num_bytes: int = 0
    num_rejects: int = 0
    num_reused: int = 0
    """Done by an earlier run: they count as done, and not in rates."""

    @property
    def num_done(self) -> int:
        return self.num_items + self.num_reused

    def plus(self, more: PhaseState) -> PhaseState:
        """Return this state and what was done since."""
        return PhaseState(
            num_items=self.num_items + more.num_items,
            num_bytes=self.num_bytes + more.num_bytes,
            num_rejects=self.num_rejects + more.num_rejects,
            num_reused=self.num_reused + more.num_reused,
        )


def describe_phase(state: PhaseState, total: int | None, elapsed_s: float, *, width: int = 10_000) -> str:
    """Return ``1,200 of 4,000 (30 %), 80 images/s, 35 s left, 9.1 MB/s, 2 rejects``, or its beginning that fits.

    A phase whose end is not known says what it has found: ``1,200 images found, 80 images/s, 15 s so far``.
    """
    parts = [_describe_count(state, total), _images_rate(state, elapsed_s)]
    if total is None:
        parts.append(f"{format_seconds(elapsed_s)} so far")
    elif state.num_items:
        missing = max(0, total - state.num_done)
        parts.append(f"{format_seconds(missing * elapsed_s / state.num_items)} left")
    parts += describe_rest(state, elapsed_s)
    while len(parts) > 1 and len(", ".join(parts)) > width:
        parts.pop()
    return ", ".join(parts)


def describe_end(state: PhaseState, elapsed_s: float) -> str:
    """Return ``4,000 in 50 s: 80 images/s, 9.1 MB/s, 2 rejects``."""
    rates = ", ".join([_images_rate(state, elapsed_s), *describe_rest(state, elapsed_s)])
    return f"{state.num_done:,} in {format_seconds(elapsed_s)}: {rates}"


def describe_rest(state: PhaseState, elapsed_s: float) -> list[str]:
    """Return what is said of a phase where there is room for it."""
    reused = [f"{state.num_reused:,} done before"] if state.num_reused else []
    speed = [f"{state.num_bytes / max(1e-3, elapsed_s) / 1e6:,.1f} MB/s"] if state.num_bytes else []
    rejects = [f"{state.num_rejects:,} reject{'s' * (state.num_rejects != 1)}"] if state.num_rejects else []
    return [*rejects, *reused, *speed]


def _describe_count(state: PhaseState, total: int | None) -> str:
    if total is None:
        return f"{state.num_done:,} images found" if state.num_done else "nothing found yet"
    share = f"{100 * state.num_done // total} %" if total else "100 %"
    return f"{state.num_done:,} of {total:,} ({share})"


def _images_rate(state: PhaseState, elapsed_s: float) -> str:
    return f"{state.num_items / max(1e-3, elapsed_s):,.0f} images/s"


def format_seconds(seconds: float) -> str:
    """Return ``42 s``, ``3 min 20 s`` or ``5 h 12 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
