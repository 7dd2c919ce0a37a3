"""Masks drawn of polygons and runs, by their definition and by MSCOCO's own library."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from packer.imaging.rejects import RejectError
from packer.imaging.shapes import draw_mask

WIDTH, HEIGHT = 20, 14
places = st.lists(st.tuples(st.floats(-5, 25), st.floats(-5, 20)), min_size=3, max_size=7)


def draw(*shapes, size=(WIDTH, HEIGHT)):
    return draw_mask(json.dumps([{"value": index + 1, "shape": shape} for index, shape in enumerate(shapes)]), size)


def is_inside(polygon, x, y):
    """Count the edges that a ray to the left crosses."""
    inside = False
    for (x0, y0), (x1, y1) in zip(polygon, [*polygon[1:], polygon[0]], strict=True):
        if (y0 <= y) != (y1 <= y) and x0 + (y - y0) * (x1 - x0) / (y1 - y0) <= x:
            inside = not inside
    return inside


@given(places)
def test_a_pixel_is_in_a_polygon_if_its_middle_is(polygon):
    found = draw([[number for place in polygon for number in place]])
    expected = [[is_inside(polygon, x + 0.5, y + 0.5) for x in range(WIDTH)] for y in range(HEIGHT)]
    assert np.array_equal(found == 1, expected)


def test_later_shapes_lie_over_earlier_ones():
    mask = draw([[0, 0, 10, 0, 10, 10, 0, 10]], [[5, 5, 20, 5, 20, 14, 5, 14]])
    assert (mask[4, 4], mask[6, 6], mask[13, 19], mask[0, 15]) == (1, 2, 2, 0)
    assert mask.dtype == np.uint8


def test_a_class_beyond_255_takes_16_bits():
    mask = draw_mask(json.dumps([{"value": 300, "shape": [[0, 0, 20, 0, 20, 14, 0, 14]]}]), (WIDTH, HEIGHT))
    assert (mask.dtype, mask.min()) == (np.uint16, 300)


@pytest.mark.parametrize(
    "shape",
    [
        [[0, 0, 1]],
        {"size": [HEIGHT, WIDTH], "counts": [1, 2]},
        {"size": [WIDTH, HEIGHT], "counts": [HEIGHT * WIDTH]},
        {"counts": [HEIGHT * WIDTH]},
        {"size": [HEIGHT, WIDTH], "counts": "\x01"},
        {"size": [HEIGHT, WIDTH], "counts": [-1, HEIGHT * WIDTH + 1]},
        5,
        "abc",
    ],
)
def test_what_is_no_shape_is_a_reject(shape):
    with pytest.raises(RejectError, match="field: expected polygons or runs of pixels"):
        draw(shape)


@pytest.mark.readers
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 0.99))
def test_runs_are_those_of_mscocos_library(seed, share):
    mask_tools = pytest.importorskip("pycocotools.mask")
    mask = (np.random.default_rng(seed).random((HEIGHT, WIDTH)) < share).astype(np.uint8)
    encoded = mask_tools.encode(np.asfortranarray(mask))
    found = draw({"size": encoded["size"], "counts": encoded["counts"].decode()})
    assert np.array_equal(found, mask)


@pytest.mark.readers
def test_polygons_are_those_of_mscocos_library_but_for_their_edges():
    mask_tools = pytest.importorskip("pycocotools.mask")
    turns = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    radii = np.random.default_rng(0).uniform(60, 180, 12)
    polygon = np.stack([200 + radii * np.cos(turns), 200 + radii * np.sin(turns)], axis=1).ravel().tolist()
    theirs = mask_tools.decode(mask_tools.merge(mask_tools.frPyObjects([polygon], 400, 400))).astype(bool)
    ours = draw([polygon], size=(400, 400)) == 1
    assert (ours & theirs).sum() / (ours | theirs).sum() > 0.985
