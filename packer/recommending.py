"""Which of several settings to take, and why. A rule that can be said in a line, not a judgement of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

CROP_PX = 224
"""What most networks are trained and evaluated on."""
ENOUGH_PX = 256
"""Evaluation takes the central 7/8 of the short side, as trainers of ImageNet do: 224 of 256."""
ENOUGH_DB = 34.0
"""About what JPEG of quality 85 keeps of photographs at these sizes: 34.3 to 35.6 dB of a thousand everyday ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What the choice looks at."""

    num_bytes: int
    """Of all shards."""
    psnr_db: float
    """Of encoding alone; infinite where nothing is lost."""
    side_px: int | None
    """Short side of the samples; None where it is each image's own."""


def recommend(candidates: Sequence[Candidate | None]) -> tuple[int, str]:
    """Return the index of a setting and the reason to take it; None stands for one that cannot be packed.

    The fewest bytes, of the settings whose short side is enough for crops of 224 pixels (or else is the longest) and
    whose encoding keeps 34 dB (or else the most).
    """
    known = {index: each for index, each in enumerate(candidates) if each is not None}
    sides = [each.side_px for each in known.values() if each.side_px is not None]
    least_px = min(ENOUGH_PX, max(sides, default=0))
    large = {i: each for i, each in known.items() if each.side_px is None or each.side_px >= least_px}
    least_db = min(ENOUGH_DB, max(each.psnr_db for each in large.values()))
    good = {i: each for i, each in large.items() if each.psnr_db >= least_db}
    index = min(good, key=lambda i: (good[i].num_bytes, i))
    return index, f"the fewest bytes of those {_size_reason(least_px, sides)}{_loss_reason(least_db)}"


def _size_reason(least_px: int, sides: Sequence[int]) -> str:
    if not sides:
        return ""
    if least_px < ENOUGH_PX:
        return f"with the longest short side, {least_px} px ({ENOUGH_PX} would be enough for crops of {CROP_PX}), and "
    return f"with a short side of {ENOUGH_PX} px or more, enough for crops of {CROP_PX}, and "


def _loss_reason(least_db: float) -> str:
    if least_db < ENOUGH_DB:
        return f"with the least loss; {ENOUGH_DB:.0f} dB would be enough, about what JPEG of quality 85 keeps"
    return f"with {ENOUGH_DB:.0f} dB or more, about what JPEG of quality 85 keeps"
