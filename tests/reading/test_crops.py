import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packer.reading.crops import Window, central_window, random_window
from packer.reading.read_spec import BatchSpec

SIDES = st.integers(1, 5000)


@given(height=SIDES, width=SIDES, min_area=st.floats(0.01, 1.0), seed=st.integers())
def test_random_windows_lie_inside_and_are_never_long(height, width, min_area, seed):
    batch = BatchSpec(batch_size=1, image_px=1, min_area=min_area)
    window = random_window(height, width, batch, random.Random(seed))
    assert 0 <= window.top < window.top + window.height <= height
    assert 0 <= window.left < window.left + window.width <= width
    assert 3 * window.width <= 4 * (window.height + 1)
    assert 3 * window.height <= 4 * (window.width + 1)


def test_random_windows_differ_in_area_shape_and_place():
    batch = BatchSpec(batch_size=1, image_px=1, min_area=0.25)
    generator = random.Random(0)
    windows = [random_window(300, 400, batch, generator) for _ in range(500)]
    areas = [window.height * window.width / (300 * 400) for window in windows]
    assert 0.24 < min(areas) < 0.3
    assert max(areas) > 0.9
    for field in ("top", "left", "height", "width"):
        assert len({getattr(window, field) for window in windows}) > 50


@pytest.mark.parametrize(
    ("height", "width", "share", "expected"),
    [
        (256, 341, 0.875, Window(16, 58, 224, 224)),
        (341, 256, 0.875, Window(58, 16, 224, 224)),
        (8, 8, 1.0, Window(0, 0, 8, 8)),
        (1, 1, 0.1, Window(0, 0, 1, 1)),
    ],
)
def test_central_windows_are_squares_of_the_short_side(height, width, share, expected):
    assert central_window(height, width, BatchSpec(batch_size=1, image_px=1, evaluation_crop=share)) == expected


def test_of_a_long_picture_the_middle_is_taken():
    batch = BatchSpec(batch_size=1, image_px=1, min_area=1.0)
    assert random_window(30, 3000, batch, random.Random(0)) == Window(0, 1480, 30, 40)
    assert random_window(3000, 30, batch, random.Random(0)) == Window(1480, 0, 40, 30)
