"""Files that would take long are rejected by what their headers say, and so on every machine."""

from __future__ import annotations

import pytest

from packer.imaging.rejects import RejectError, RejectReason
from packer.imaging.transform import transform_image
from packer.specs import Encode
from tests.imaging.images import image_spec
from tests.imaging.slow_files import many_scans, many_segments

SPECS = [image_spec(32), image_spec(0, encode=Encode.KEEP)]


def rejected(data, spec):
    with pytest.raises(RejectError) as caught:
        transform_image(data, spec)
    assert caught.value.reason is RejectReason.TOO_SLOW
    return caught.value.detail


@pytest.mark.parametrize("spec", SPECS, ids=["resized", "kept"])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_many_scans(spec, mode):
    detail = rejected(many_scans(501, mode=mode), spec)
    assert detail == "JPEG: expected at most 500 scans, which take time each, got 501"
    assert transform_image(many_scans(500, mode=mode), spec).width


@pytest.mark.parametrize("spec", SPECS, ids=["resized", "kept"])
@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_exif_in_many_segments(spec, mode):
    detail = rejected(many_segments(65, mode=mode), spec)
    assert detail == "JPEG: expected EXIF in at most 64 segments, got 65"
    assert transform_image(many_segments(64, mode=mode), spec).width


def test_a_thousand_segments_are_not_even_joined():
    """65 MB, which Pillow took half a minute for."""
    rejected(many_segments(1000), SPECS[0])
