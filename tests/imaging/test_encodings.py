"""What samples are encoded as: each encoding's form, options and limits, and that its bytes depend on pixels alone."""

from __future__ import annotations

import io

import pytest
from PIL import Image, JpegImagePlugin

from packer.imaging.rejects import RejectError, RejectReason
from packer.imaging.transform import sample_pixels, transform_image
from packer.specs import Encode, Fit, Subsampling
from tests.imaging.images import exif_block, file_of, image_spec, noise, quadrants, swapped_profile

ENCODINGS = (Encode.JPEG, Encode.PNG, Encode.WEBP)
TAGGED = file_of(
    quadrants(160, 120), "JPEG", exif=b"Exif\0\0" + exif_block(3), icc_profile=swapped_profile(), comment=b"a comment"
)


def opened(sample):
    image = Image.open(io.BytesIO(sample.encoded))
    image.load()
    return image


@pytest.mark.parametrize("encode", ENCODINGS)
def test_the_form_of_a_sample(encode):
    spec = image_spec(60, encode=encode)

    sample = transform_image(TAGGED, spec)
    image = opened(sample)

    assert (image.format, image.mode, image.size) == (encode.upper(), "RGB", (80, 60))
    assert (sample.image_format, sample.width, sample.height, sample.channels) == (encode, 80, 60, 3)
    assert sample.histogram == tuple(sample_pixels(TAGGED, spec).histogram())


@pytest.mark.parametrize("encode", ENCODINGS)
def test_no_metadata_of_the_source_is_left(encode):
    sample = transform_image(TAGGED, image_spec(60, encode=encode))

    assert not {"exif", "icc_profile", "comment", "xmp", "dpi"} & opened(sample).info.keys()
    assert all(name not in sample.encoded for name in (b"Exif", b"EXIF", b"iCCP", b"ICC", b"tEXt", b"tIME", b"eXIf"))


def test_png_is_lossless():
    spec = image_spec(60, encode=Encode.PNG)

    assert opened(transform_image(TAGGED, spec)).tobytes() == sample_pixels(TAGGED, spec).tobytes()


@pytest.mark.parametrize("encode", ENCODINGS)
def test_the_same_pixels_give_the_same_bytes(encode):
    """Whatever file they came from, and again."""
    image = noise(64, 64, 60).convert("RGB")
    files = [file_of(image, "PNG"), file_of(image, "BMP"), file_of(image, "TIFF", icc_profile=b"")]

    encoded = {transform_image(data, image_spec(64, encode=encode)).encoded for data in files * 2}

    assert len(encoded) == 1


@pytest.mark.parametrize("encode", [Encode.JPEG, Encode.WEBP])
def test_quality_decides_the_size(encode):
    sizes = [
        len(transform_image(TAGGED, image_spec(60, encode=encode, quality=quality)).encoded) for quality in (20, 90)
    ]

    assert sizes[0] < sizes[1]


@pytest.mark.parametrize("subsampling", Subsampling)
def test_subsampling(subsampling):
    sample = transform_image(TAGGED, image_spec(60, subsampling=subsampling))

    names = {0: Subsampling.S444, 1: Subsampling.S422, 2: Subsampling.S420}
    assert names[JpegImagePlugin.get_sampling(opened(sample))] is subsampling


@pytest.mark.parametrize(("encode", "most"), [(Encode.JPEG, 65_500), (Encode.WEBP, 16_383)])
def test_the_longest_side(encode, most):
    data = file_of(Image.new("RGB", (40, 2)), "PNG")

    assert transform_image(data, image_spec(most, 1, fit=Fit.STRETCH, encode=encode)).width == most
    with pytest.raises(RejectError, match=f"{most:,} on a side") as caught:
        transform_image(data, image_spec(most + 1, 1, fit=Fit.STRETCH, encode=encode))
    assert caught.value.reason is RejectReason.OUTPUT_TOO_LARGE


def test_png_has_no_longest_side():
    data = file_of(Image.new("RGB", (40, 2)), "PNG")

    assert transform_image(data, image_spec(70_000, 1, fit=Fit.STRETCH, encode=Encode.PNG)).width == 70_000
