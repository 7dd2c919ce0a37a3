"""The arithmetic of sizes, by table and by property."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packer.imaging.geometry import plan_geometry, scale_box
from packer.specs import Fit
from tests.imaging.images import image_spec

sides = st.integers(1, 50_000)
requests = st.integers(1, 2048)


@pytest.mark.parametrize(
    ("fit", "source", "request_size", "resized", "canvas", "offset", "box"),
    [
        (Fit.SHORT, (500, 375), (256, 256), (341, 256), (341, 256), (0, 0), (0, 0, 500, 375)),
        (Fit.SHORT, (375, 500), (256, 256), (256, 341), (256, 341), (0, 0), (0, 0, 375, 500)),
        # 257 * 3 / 2 = 385.5 goes up.
        (Fit.SHORT, (3, 2), (257, 257), (386, 257), (386, 257), (0, 0), (0, 0, 3, 2)),
        (Fit.LONG, (500, 375), (256, 256), (256, 192), (256, 192), (0, 0), (0, 0, 500, 375)),
        # 10 * 32 / 20,000 would be no pixel at all.
        (Fit.LONG, (20_000, 10), (32, 32), (32, 1), (32, 1), (0, 0), (0, 0, 20_000, 10)),
        (Fit.COVER, (500, 375), (256, 256), (256, 256), (256, 256), (0, 0), (62.5, 0, 375, 375)),
        (Fit.COVER, (375, 500), (200, 100), (200, 100), (200, 100), (0, 0), (0, 156.25, 375, 187.5)),
        (Fit.COVER, (100, 50), (200, 100), (200, 100), (200, 100), (0, 0), (0, 0, 100, 50)),
        (Fit.CONTAIN, (500, 375), (256, 256), (256, 192), (256, 256), (0, 32), (0, 0, 500, 375)),
        # One row of padding more below than above.
        (Fit.CONTAIN, (100, 50), (50, 50), (50, 25), (50, 50), (0, 12), (0, 0, 100, 50)),
        (Fit.CONTAIN, (50, 100), (60, 50), (25, 50), (60, 50), (17, 0), (0, 0, 50, 100)),
        (Fit.STRETCH, (500, 375), (100, 200), (100, 200), (100, 200), (0, 0), (0, 0, 500, 375)),
    ],
)
def test_plans(fit, source, request_size, resized, canvas, offset, box):
    geometry = plan_geometry(source, image_spec(*request_size, fit=fit))

    assert geometry.resized == resized
    assert geometry.canvas == canvas
    assert geometry.offset == offset
    assert geometry.box == box


@pytest.mark.parametrize(
    ("fit", "source", "request_size", "draft"),
    [
        (Fit.SHORT, (1024, 768), (256, 256), (682, 512)),
        (Fit.CONTAIN, (1024, 512), (256, 256), (512, 256)),
        # The box takes half of the width, so the whole must be twice as wide.
        (Fit.COVER, (1024, 512), (256, 256), (1024, 512)),
        (Fit.STRETCH, (1024, 512), (10, 256), (20, 512)),
    ],
)
def test_decoders_keep_twice_the_target(fit, source, request_size, draft):
    assert plan_geometry(source, image_spec(*request_size, fit=fit)).draft_request == draft


@given(st.sampled_from(Fit), sides, sides, requests, requests)
def test_every_plan_is_within_its_bounds(fit, width, height, wide, high):
    geometry = plan_geometry((width, height), image_spec(wide, high, fit=fit))

    left, top, box_width, box_height = geometry.box
    assert left >= 0
    assert top >= 0
    assert 0 < box_width <= width
    assert 0 < box_height <= height
    assert left + box_width / 2 == pytest.approx(width / 2)
    assert top + box_height / 2 == pytest.approx(height / 2)
    assert min(geometry.resized) >= 1
    assert all(
        o >= 0 and o + r <= c for o, r, c in zip(geometry.offset, geometry.resized, geometry.canvas, strict=True)
    )
    assert all(f >= r for f, r in zip(geometry.full, geometry.resized, strict=True))
    if fit in (Fit.COVER, Fit.CONTAIN, Fit.STRETCH):
        assert geometry.canvas == (wide, high)


@given(st.sampled_from(Fit), sides, sides, requests, requests)
def test_transposing_is_planning_the_transposed(fit, width, height, wide, high):
    geometry = plan_geometry((width, height), image_spec(wide, high, fit=fit))
    other = plan_geometry((height, width), image_spec(high, wide, fit=fit))

    if fit in (Fit.SHORT, Fit.LONG):
        other = plan_geometry((height, width), image_spec(wide, wide, fit=fit))
    assert geometry.transposed() == other
    assert geometry.transposed().transposed() == geometry


@given(sides, sides, requests, requests, st.sampled_from([1, 2, 4, 8]))
def test_a_scaled_box_stays_inside_the_extent(width, height, wide, high, divisor):
    geometry = plan_geometry((width, height), image_spec(wide, high, fit=Fit.COVER))
    extent = (width / divisor, height / divisor)

    left, top, box_width, box_height = scale_box(geometry.box, (width, height), extent)

    assert left + box_width <= extent[0] + 1e-9
    assert top + box_height <= extent[1] + 1e-9
    assert (left, top, box_width, box_height) == pytest.approx([value / divisor for value in geometry.box])
