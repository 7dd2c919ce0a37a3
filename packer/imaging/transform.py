r"""One image file in, one encoded sample out: a pure function of the bytes and the spec.

    bytes -> decode (shrunk to >= 2x) -> resample -> sRGB -> upright -> pad -> histogram -> encode
                       \-> kept, where `encode=keep` finds nothing to do

Orientation comes after resampling, and alpha and colour too, so that only the decoder's own pixels are ever large.
"""

from __future__ import annotations

from PIL import Image

from packer.imaging.colour import to_srgb
from packer.imaging.decoding import DecodedImage, decode_image
from packer.imaging.encoding import encoder_of
from packer.imaging.field_geometry import move_of
from packer.imaging.geometry import Geometry, Size, plan_geometry, scale_box
from packer.imaging.keeping import keep_image, kept, satisfies
from packer.imaging.modes import to_straight_alpha
from packer.imaging.orientation import apply_orientation, is_transposed
from packer.imaging.rejects import RejectError, RejectReason
from packer.imaging.resampling import resample
from packer.imaging.values import TransformedImage
from packer.specs import Alpha, Encode, ImageSpec

_NUM_COUNTS = 3 * 256


def transform_image(data: bytes, spec: ImageSpec) -> TransformedImage:
    """Decode an image file, resize it as `spec` asks and encode it.

    Needs about four bytes of memory for each pixel of the source, besides `data`; for a JPEG, for each pixel that its
    decoder leaves. Progressive JPEG, WebP and AVIF decoders hold more of their own.

    Raises:
        RejectError: for an image that cannot become a sample, with the reason.
        MemoryError: this machine has too little memory for it.
    """
    if spec.keeps_all:
        return keep_image(data, spec.max_pixels)
    decoded, geometry = _decode(data, spec)
    if spec.encode is Encode.KEEP and satisfies(decoded, geometry):
        return kept(data, decoded)
    encoder, pixels = encoder_of(spec), _shape(decoded, geometry)
    return TransformedImage(
        encoded=encoder.encode(pixels, spec),
        image_format=encoder.image_format,
        width=pixels.width,
        height=pixels.height,
        channels=len(pixels.getbands()),
        move=move_of(geometry, decoded.orientation),
        source=decoded.source,
        histogram=tuple(pixels.histogram()[:_NUM_COUNTS]),
    )


def sample_pixels(data: bytes, spec: ImageSpec) -> Image.Image:
    """Return the pixels of a sample before encoding, in mode RGB or RGBA. Raises as `transform_image`."""
    return _shape(*_decode(data, spec))


def _decode(data: bytes, spec: ImageSpec) -> tuple[DecodedImage, Geometry]:
    def plan(source: Size, orientation: int) -> Geometry:
        geometry = _plan_stored(source, orientation, spec)
        _check_output(geometry.canvas, spec.max_pixels, encoder_of(spec).max_side_px)
        return geometry

    decoded = decode_image(
        data,
        max_pixels=spec.max_pixels,
        draft_request=lambda source, orientation: plan(source, orientation).draft_request,
        keep_alpha=spec.alpha is Alpha.KEEP,
    )
    return decoded, plan(decoded.source, decoded.orientation)


def _shape(decoded: DecodedImage, geometry: Geometry) -> Image.Image:
    """Return decoded pixels as they are asked for."""
    box = scale_box(geometry.box, decoded.source, decoded.extent)
    pixels = _to_rgb(resample(decoded.pixels, box, geometry.resized), decoded.icc_profile)
    return _place(apply_orientation(pixels, decoded.orientation), decoded.orientation, geometry)


def _plan_stored(source: Size, orientation: int, spec: ImageSpec) -> Geometry:
    """Return the geometry in the directions that pixels are stored in, for the request as it is looked at."""
    if is_transposed(orientation):
        return plan_geometry((source[1], source[0]), spec).transposed()
    return plan_geometry(source, spec)


def _check_output(canvas: Size, max_pixels: int, max_side_px: int) -> None:
    if canvas[0] * canvas[1] > max_pixels or max(canvas) > max_side_px:
        raise RejectError(
            RejectReason.OUTPUT_TOO_LARGE,
            f"expected a sample of at most {max_pixels:,} pixels (`max_pixels`) and {max_side_px:,} on a side, "
            f"got {canvas[0]}x{canvas[1]}",
        )


def _to_rgb(pixels: Image.Image, icc_profile: bytes | None) -> Image.Image:
    if pixels.mode == "RGBa":
        colours, opacity = to_straight_alpha(pixels)
        colours = to_srgb(colours, icc_profile)
        colours.putalpha(opacity)
        return colours
    pixels = to_srgb(pixels, icc_profile)
    return pixels.convert("RGB") if pixels.mode == "L" else pixels


def _place(pixels: Image.Image, orientation: int, geometry: Geometry) -> Image.Image:
    """Put an upright picture in the middle of a black canvas; the same object where it fills it.

    The canvas of an RGBA picture is transparent.
    """
    upright = geometry.transposed() if is_transposed(orientation) else geometry
    if pixels.size == upright.canvas:
        return pixels
    canvas = Image.new(pixels.mode, upright.canvas)
    canvas.paste(pixels, upright.offset)
    return canvas
