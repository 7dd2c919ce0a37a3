"""The check that a packed sample decodes."""

from __future__ import annotations

import pytest

from packer.imaging.check import check_decodes
from packer.imaging.rejects import RejectError, RejectReason
from packer.imaging.transform import transform_image
from tests.imaging.images import file_of, image_spec, quadrants


def test_a_sample_decodes_to_its_size():
    sample = transform_image(file_of(quadrants(160, 120), "PNG"), image_spec(60))

    assert check_decodes(sample.encoded) == (80, 60)


def test_a_damaged_sample_does_not():
    sample = transform_image(file_of(quadrants(160, 120), "PNG"), image_spec(60))

    with pytest.raises(RejectError) as caught:
        check_decodes(sample.encoded[: len(sample.encoded) // 2])
    assert caught.value.reason is RejectReason.TRUNCATED
