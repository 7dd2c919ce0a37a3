import pytest
from hypothesis import given
from hypothesis import strategies as st

from packer.loading.crop_decoder import CropWindow, PictureSize
from packer.loading.window_choice import central_window, random_window, sample_seed

SIDES = st.integers(1, 5000)
NUMBERS = st.integers(0, 2**40)


@given(SIDES, SIDES, st.floats(0.01, 1.0), NUMBERS)
def test_random_windows_lie_inside_and_are_never_long(height, width, min_area, seed):
    window = random_window(PictureSize(height, width), min_area, sample_seed(seed, 0, 0, 0))
    assert 0 <= window.top < window.top + window.height <= height
    assert 0 <= window.left < window.left + window.width <= width
    assert 3 * window.width <= 4 * (window.height + 1)
    assert 3 * window.height <= 4 * (window.width + 1)


def test_random_windows_differ_in_area_shape_and_place():
    seeds = [sample_seed(0, 0, 0, record) for record in range(500)]
    windows = [random_window(PictureSize(300, 400), 0.25, seed) for seed in seeds]
    areas = [window.height * window.width / (300 * 400) for window in windows]
    assert 0.24 < min(areas) < 0.3
    assert max(areas) > 0.9
    for field in ("top", "left", "height", "width"):
        assert len({getattr(window, field) for window in windows}) > 50
    assert 200 < sum(seed.is_flipped for seed in seeds) < 300
    flipped = {window for window, seed in zip(windows, seeds, strict=True) if seed.is_flipped}
    assert 0.5 < sum(window.top < 60 for window in flipped) / len(flipped) < 0.9  # mirroring tells nothing of the place


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_each_of_the_four_numbers_counts(seed, epoch, shard, record):
    same = sample_seed(seed, epoch, shard, record)
    assert same == sample_seed(seed, epoch, shard, record)
    others = [(seed + 1, epoch, shard, record), (seed, epoch + 1, shard, record)]
    others += [(seed, epoch, shard + 1, record), (seed, epoch, shard, record + 1)]
    assert same not in [sample_seed(*numbers) for numbers in others]


def test_windows_never_change():
    """As they were when batches were first a function of their step."""
    seed = sample_seed(7, 3, 11, 1234)
    assert random_window(PictureSize(375, 500), 0.08, seed) == GOLDEN_WINDOW
    assert (seed.is_flipped, seed.number) == GOLDEN_CHANCE


GOLDEN_WINDOW = CropWindow(0, 99, 375, 356)
GOLDEN_CHANCE = (True, 12577734440644758885)


@pytest.mark.parametrize(
    ("height", "width", "share", "expected"),
    [
        (256, 341, 0.875, CropWindow(16, 58, 224, 224)),
        (341, 256, 0.875, CropWindow(58, 16, 224, 224)),
        (8, 8, 1.0, CropWindow(0, 0, 8, 8)),
        (1, 1, 0.1, CropWindow(0, 0, 1, 1)),
    ],
)
def test_central_windows_are_squares_of_the_short_side(height, width, share, expected):
    assert central_window(PictureSize(height, width), share) == expected


def test_of_a_long_picture_the_middle_is_taken():
    seed = sample_seed(0, 0, 0, 0)
    assert random_window(PictureSize(30, 3000), 1.0, seed) == CropWindow(0, 1480, 30, 40)
    assert random_window(PictureSize(3000, 30), 1.0, seed) == CropWindow(1480, 0, 40, 30)
