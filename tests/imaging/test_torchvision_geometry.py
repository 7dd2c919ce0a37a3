"""The same boxes and masks as torchvision's transforms give."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from packer.imaging.field_geometry import move_boxes, move_mask, move_of
from packer.imaging.geometry import plan_geometry
from packer.specs import Fit
from tests.imaging.images import image_spec

pytestmark = pytest.mark.readers

TURNS = {2: (0, True), 3: (180, False), 4: (180, True), 6: (270, False), 8: (90, False)}
"""By orientation: degrees against the clock, and whether it is mirrored after that."""


@pytest.fixture(scope="module", autouse=True)
def libraries():
    """Where they are missing, these tests are skipped one by one, and only where they are asked for."""
    global torch, functional, tv_tensors
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("torchvision.transforms.v2.functional")
    tv_tensors = pytest.importorskip("torchvision.tv_tensors")


sizes = st.tuples(st.integers(8, 60), st.integers(8, 60))


def turn(value, orientation):
    degrees, is_mirrored = TURNS.get(orientation, (0, False))
    value = functional.rotate(value, degrees, expand=True) if degrees else value
    return functional.horizontal_flip(value) if is_mirrored else value


def as_asked_for(value, geometry, source):
    """Crop to whole pixels, resize and pad by torchvision."""
    left, top, width, height = map(int, geometry.box)
    value = functional.crop(value, top, left, height, width)
    value = functional.resize(value, list(geometry.resized[::-1]), functional.InterpolationMode.NEAREST_EXACT)
    x, y = geometry.offset
    right, bottom = (c - r - o for c, r, o in zip(geometry.canvas, geometry.resized, geometry.offset, strict=True))
    return functional.pad(value, [x, y, right, bottom])


@given(sizes, sizes, st.sampled_from([Fit.SHORT, Fit.LONG, Fit.STRETCH, Fit.CONTAIN]), st.data())
def test_boxes_and_masks_move_as_in_torchvision(size, side, fit, data):
    geometry = plan_geometry(size, image_spec(width=side[0], height=side[1], fit=fit))
    orientation = data.draw(st.sampled_from([1, 2, 3, 4]))
    corners = [data.draw(st.tuples(st.floats(-5, 70), st.floats(-5, 70), st.floats(-5, 70), st.floats(-5, 70)))]
    boxes = np.array([[min(a, c), min(b, d), max(a, c), max(b, d)] for a, b, c, d in corners])
    move = move_of(geometry, orientation)
    given_boxes = tv_tensors.BoundingBoxes(
        torch.tensor(boxes), format="XYXY", canvas_size=size[::-1], clamping_mode=None
    )
    wide = turn(as_asked_for(given_boxes, geometry, size), orientation)
    expected = functional.clamp_bounding_boxes(wide, clamping_mode="hard").numpy()
    moved, kept = move_boxes(boxes, move)
    assert np.allclose(moved, expected[kept], atol=1e-3)
    mask = np.random.default_rng(size[0]).integers(0, 255, size[::-1], np.uint8)
    # Rounding decides where a pixel's middle falls between two of the source, so those are left out.
    found, wanted = (
        move_mask(mask, move),
        turn(as_asked_for(tv_tensors.Mask(mask), geometry, size), orientation).numpy(),
    )
    assert found.shape == wanted.shape
    assert (found == wanted).all() or has_ties(size, geometry)


def has_ties(size, geometry):
    return any((2 * i + 1) * s % (2 * r) == 0 for s, r in zip(size, geometry.resized, strict=True) for i in range(r))


@given(sizes, sizes)
def test_a_cover_of_whole_pixels_moves_as_in_torchvision(size, side):
    geometry = plan_geometry(size, image_spec(width=side[0], height=side[1], fit=Fit.COVER))
    if any(value != int(value) for value in geometry.box):
        return
    boxes = np.array([[0.0, 0.0, size[0], size[1]], [1, 2, 7, 8]])
    given_boxes = tv_tensors.BoundingBoxes(
        torch.tensor(boxes), format="XYXY", canvas_size=size[::-1], clamping_mode=None
    )
    expected = functional.clamp_bounding_boxes(as_asked_for(given_boxes, geometry, size), clamping_mode="hard").numpy()
    moved, kept = move_boxes(boxes, move_of(geometry, 1))
    assert np.allclose(moved, expected[kept], atol=1e-3)
