"""Mangled files give a valid sample or a RejectError, and nothing else."""

from __future__ import annotations

import contextlib
import io
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from packer.imaging.rejects import RejectError
from packer.imaging.transform import transform_image
from packer.specs import Alpha, Encode
from tests.imaging.images import exif_block, file_of, image_spec, quadrants, swapped_profile

PICTURE = quadrants(48, 40)
WITH_ALPHA = Image.merge("RGBA", [*PICTURE.split(), Image.linear_gradient("L").resize(PICTURE.size)])


def without_jfif(data):
    """Then Pillow looks for the resolution in the EXIF block, and warns about what it finds there."""
    return data[:2] + data[20:]


SEEDS = {
    "jpeg": file_of(PICTURE, "JPEG", exif=b"Exif\0\0" + exif_block(6), icc_profile=swapped_profile()),
    "progressive": file_of(PICTURE, "JPEG", progressive=True),
    "cmyk": file_of(PICTURE.convert("CMYK"), "JPEG"),
    "png": file_of(PICTURE, "PNG", icc_profile=swapped_profile()),
    "palette": file_of(PICTURE.quantize(8), "PNG", transparency=1),
    "grey16": file_of(PICTURE.convert("L").convert("I").convert("I;16"), "PNG"),
    "gif": file_of(PICTURE.quantize(8), "GIF"),
    "webp": file_of(PICTURE, "WEBP", icc_profile=swapped_profile()),
    "webp with alpha": file_of(WITH_ALPHA, "WEBP", lossless=True),
    "webp animation": file_of(PICTURE, "WEBP", save_all=True, append_images=[PICTURE.rotate(90)]),
    "png animation": file_of(PICTURE, "PNG", save_all=True, append_images=[PICTURE.rotate(90)]),
    "gif animation": file_of(PICTURE.quantize(8), "GIF", save_all=True, append_images=[PICTURE.rotate(90)]),
    "png with alpha": file_of(WITH_ALPHA, "PNG", exif=b"Exif\0\0" + exif_block(6)),
    "jpeg without jfif": without_jfif(file_of(PICTURE, "JPEG", exif=b"Exif\0\0" + exif_block(6))),
    "bmp": file_of(PICTURE, "BMP"),
    "ppm": file_of(PICTURE, "PPM"),
    "tiff": file_of(PICTURE, "TIFF", compression="tiff_lzw"),
    "jpeg2000": file_of(PICTURE, "JPEG2000"),
}

edits = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.sampled_from(["set", "insert", "remove"]), st.binary(max_size=6)),
    max_size=6,
)


def mangle(data, changes):
    for share, action, replacement in changes:
        at = int(len(data) * share)
        kept = at + (0 if action == "insert" else max(1, len(replacement)))
        data = data[:at] + (b"" if action == "remove" else replacement) + data[kept:]
    return data


SPECS = [
    image_spec(32, max_pixels=1_000_000),
    image_spec(32, max_pixels=1_000_000, encode=Encode.PNG, alpha=Alpha.KEEP),
    image_spec(40, max_pixels=1_000_000, encode=Encode.KEEP),
    image_spec(0, max_pixels=1_000_000, encode=Encode.KEEP),
]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", SEEDS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=edits, spec=st.sampled_from(SPECS))
def test_mangled_files(name, changes, spec, capfd):
    """Warnings would be errors here, so Pillow's have to be kept away from the decoders as well as from the screen."""
    with contextlib.suppress(RejectError):
        sample = transform_image(mangle(SEEDS[name], changes), spec)
        if spec.keeps_all:
            assert len(sample.histogram) == 768
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of bytes that were kept, with whatever EXIF block they have
            decoded = Image.open(io.BytesIO(sample.encoded))
            decoded.load()
        assert decoded.size == (sample.width, sample.height)
        assert sum(sample.histogram) == 3 * sample.width * sample.height
    assert capfd.readouterr().err == ""


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"II*\0", b"BM", b"P6"]), st.binary())
def test_noise(head, tail):
    with pytest.raises(RejectError):
        transform_image(head + tail, image_spec(32))
