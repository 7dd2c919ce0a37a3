import math

import pytest

from packer.recommending import Candidate, recommend


def candidate(num_bytes: int, psnr_db: float, side_px: int | None) -> Candidate:
    return Candidate(num_bytes=num_bytes, psnr_db=psnr_db, side_px=side_px)


@pytest.mark.parametrize(
    ("candidates", "index", "reason"),
    [
        ([(10, 36, 224), (20, 36, 256), (15, 30, 256), (40, 38, 384)], 1,
         "the fewest bytes of those with a short side of 256 px or more, enough for crops of 224, and with 34 dB or "
         "more, about what JPEG of quality 85 keeps"),
        ([(10, 36, 128), (20, 36, 224)], 1,
         "the fewest bytes of those with the longest short side, 224 px (256 would be enough for crops of 224), and "
         "with 34 dB or more, about what JPEG of quality 85 keeps"),
        ([(10, 30, 256), (20, 33, 256)], 1,
         "the fewest bytes of those with a short side of 256 px or more, enough for crops of 224, and with the least "
         "loss; 34 dB would be enough, about what JPEG of quality 85 keeps"),
        ([(30, math.inf, None), (20, 36, None)], 1,
         "the fewest bytes of those with 34 dB or more, about what JPEG of quality 85 keeps"),
        ([None, (20, 36, 256), (20, 36, 256)], 1, "the fewest bytes"),
    ],
)  # fmt: skip
def test_the_rule(candidates: list[tuple[int, float, int | None] | None], index: int, reason: str) -> None:
    found, why = recommend([each and candidate(*each) for each in candidates])
    assert found == index
    assert why.startswith(reason)
