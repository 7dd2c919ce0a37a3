"""Boxes, key points and masks go where the pixels of their picture go."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from packer.imaging.field_geometry import (
    MIN_BOX_SHARE,
    PictureMove,
    move_boxes,
    move_mask,
    move_of,
    move_places,
    move_points,
    still,
)
from packer.imaging.geometry import plan_geometry
from packer.imaging.orientation import apply_orientation
from packer.specs import Fit
from tests.imaging.images import image_spec

ORIENTATIONS = range(1, 9)


def plan(size, fit, side, orientation):
    """The move that packing a picture of `size` would make."""
    upright = size[::-1] if orientation >= 5 else size
    geometry = plan_geometry(upright, image_spec(width=side[0], height=side[1], fit=fit))
    return move_of(geometry.transposed() if orientation >= 5 else geometry, orientation)


moves = st.builds(
    plan,
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.sampled_from(list(Fit)),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.sampled_from(ORIENTATIONS),
)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_orientations_turn_masks_and_places_as_pixels(orientation):
    pixels = np.arange(35, dtype=np.uint8).reshape(5, 7)
    turned = np.asarray(apply_orientation(Image.fromarray(pixels), orientation))
    move = PictureMove((0, 0, 7, 5), (7, 5), orientation, (0, 0), turned.shape[::-1])
    assert np.array_equal(move_mask(pixels, move), turned)
    ys, xs = np.mgrid[0:5, 0:7]
    places = move_places(np.stack([xs.ravel() + 0.5, ys.ravel() + 0.5], axis=1), move)
    assert np.array_equal(
        turned[np.floor(places[:, 1]).astype(int), np.floor(places[:, 0]).astype(int)], pixels.ravel()
    )


@given(moves, st.data())
def test_a_mask_of_a_box_is_the_mask_of_the_moved_box(move, data):
    """Pixel by pixel: one of the result is in the box if its middle is."""
    size = tuple(round(2 * start + length) for start, length in zip(move.box[:2], move.box[2:], strict=True))
    x0, x1 = sorted(data.draw(st.tuples(st.integers(0, size[0]), st.integers(0, size[0]))))
    y0, y1 = sorted(data.draw(st.tuples(st.integers(0, size[1]), st.integers(0, size[1]))))
    mask = np.zeros(size[::-1], np.uint8)
    mask[y0:y1, x0:x1] = 1
    found = move_mask(mask, move)
    ends = move_places([[x0, y0], [x1, y1]], move)
    (left, top), (right, bottom) = ends.min(axis=0), ends.max(axis=0)
    width, height = move.canvas
    assert found.shape == (height, width)
    xs, ys = np.arange(width) + 0.5, np.arange(height) + 0.5
    for tolerance, compare in ((1e-6, np.less_equal), (-1e-6, np.greater_equal)):
        columns = (xs > left - tolerance) & (xs < right + tolerance)
        rows = (ys > top - tolerance) & (ys < bottom + tolerance)
        inside = (rows[:, None] & columns) & is_picture(move)
        assert compare(found, inside).all()


def is_picture(move):
    """Which pixels of the result are not padding."""
    wide, high = move.resized[::-1] if move.orientation >= 5 else move.resized
    x, y = move.offset
    picture = np.zeros(move.canvas[::-1], bool)
    picture[y : y + high, x : x + wide] = True
    return picture


@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 50), st.integers(1, 50))
def test_a_mask_is_resized_to_the_nearest_pixel(width, height, wide, high):
    mask = np.random.default_rng(width * height).integers(0, 255, (height, width), np.uint8)
    move = PictureMove((0.0, 0.0, float(width), float(height)), (wide, high), 1, (0, 0), (wide, high))
    expected = [
        [mask[(2 * y + 1) * height // (2 * high), (2 * x + 1) * width // (2 * wide)] for x in range(wide)]
        for y in range(high)
    ]
    assert move_mask(mask, move).tolist() == expected


@given(moves, st.lists(st.tuples(*[st.floats(-20, 80)] * 4), max_size=5))
def test_boxes_are_clipped_and_dropped_by_the_rule(move, drawn):
    boxes = [(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in drawn]
    moved, kept = move_boxes(boxes, move)
    width, height = move.canvas
    expected = []
    for index, (left, top, right, bottom) in enumerate(boxes):
        (x0, y0), (x1, y1) = move_places([[left, top], [right, bottom]], move)
        x0, x1, y0, y1 = min(x0, x1), max(x0, x1), min(y0, y1), max(y0, y1)
        inside = [max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))]
        wide, high = max(inside[2] - inside[0], 0), max(inside[3] - inside[1], 0)
        if wide >= 1 and high >= 1 and wide * high >= MIN_BOX_SHARE * (x1 - x0) * (y1 - y0):
            expected.append((index, inside))
    assert [index for index, _ in expected] == kept.tolist()
    assert np.array_equal(moved, np.array([box for _, box in expected], np.float32).reshape(-1, 4))


def test_points_outside_stay_in_their_order_and_become_invisible():
    move = PictureMove((10.0, 0.0, 20.0, 20.0), (10, 10), 2, (0, 0), (10, 10))
    points, visible = move_points([[10, 0], [30, 20], [31, 5], [20, 10]], [2, 1, 2, 0], move)
    assert points.tolist() == [[10, 0], [0, 10], [-0.5, 2.5], [5, 5]]
    assert visible.tolist() == [2, 1, 0, 0]
    assert points.dtype == np.float32


def test_what_stays_as_it_is_has_the_same_numbers():
    moved, kept = move_boxes([[1.25, 2.5, 3.75, 4]], still((8, 8)))
    assert moved.tolist() == [[1.25, 2.5, 3.75, 4]]
    assert kept.tolist() == [0]
