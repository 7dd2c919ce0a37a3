"""Cutting pictures to size with TensorFlow, which callers pass in: nothing is imported here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from packer.reading.read_spec import BatchSpec

_RIFF = b"RIFF"
"""How WebP begins, and neither JPEG nor PNG."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded picture whose size is known and of which a part can be decoded."""

    shape: Any
    """int32 tensor (height, width, channels)."""
    cut: Callable[[Any], Any]
    """From a window, int32 (top, left, height, width), to its pixels, uint8 [height, width, 3]."""


def open_jpeg(tf: ModuleType, encoded: Any) -> Picture:
    """Return the picture in a JPEG, of which no more is decoded than a window needs."""
    return Picture(
        tf.io.extract_jpeg_shape(encoded), lambda window: tf.io.decode_and_crop_jpeg(encoded, window, channels=3)
    )


def open_image(tf: ModuleType, encoded: Any) -> Picture:
    """Return the picture in a file of any format that TensorFlow decodes."""
    return _open_pixels(tf, tf.io.decode_image(encoded, channels=3, expand_animations=False))


def open_transparent(tf: ModuleType, encoded: Any) -> Picture:
    """Return the picture in a PNG over white, as packing puts transparent pictures where alpha is not kept."""
    pixels = tf.cast(tf.io.decode_png(encoded, channels=4), tf.float32)
    opacity = pixels[..., 3:] / 255
    return _open_pixels(tf, tf.saturate_cast(tf.round(pixels[..., :3] * opacity + 255 * (1 - opacity)), tf.uint8))


def open_kept(tf: ModuleType, encoded: Any, decode_webp: Callable[[bytes], Any]) -> Picture:
    """Return the picture in a JPEG, PNG or WebP; `decode_webp` turns the last into uint8 [height, width, 3]."""
    pixels = tf.cond(
        tf.strings.substr(encoded, 0, len(_RIFF)) == _RIFF,
        lambda: tf.ensure_shape(tf.numpy_function(decode_webp, [encoded], tf.uint8), [None, None, 3]),
        lambda: tf.ensure_shape(tf.io.decode_image(encoded, channels=3, expand_animations=False), [None, None, 3]),
    )
    return _open_pixels(tf, pixels)


def _open_pixels(tf: ModuleType, pixels: Any) -> Picture:
    return Picture(tf.shape(pixels), lambda w: pixels[w[0] : w[0] + w[2], w[1] : w[1] + w[3]])


def random_crop(tf: ModuleType, picture: Picture, batch: BatchSpec, *, seed: Any) -> Any:
    """Cut a random part of random shape out of a picture, scale it to the image size and mirror every other one."""
    begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
        picture.shape,
        bounding_boxes=tf.zeros([1, 0, 4]),
        seed=seed,
        min_object_covered=0.0,
        aspect_ratio_range=(3 / 4, 4 / 3),
        area_range=(batch.min_area, 1.0),
        use_image_if_no_bounding_boxes=True,
    )
    image = _scale_window(tf, picture, tf.concat([begin[:2], extent[:2]], axis=0), batch)
    return tf.image.stateless_random_flip_left_right(image, seed=seed)


def central_crop(tf: ModuleType, picture: Picture, batch: BatchSpec) -> Any:
    """Cut the central square out of a picture and scale it to the image size."""
    shape = picture.shape[:2]
    short_side = tf.cast(tf.reduce_min(shape), tf.float32)
    side = tf.maximum(tf.cast(tf.round(short_side * batch.evaluation_crop), tf.int32), 1)
    return _scale_window(tf, picture, tf.concat([(shape - side) // 2, [side, side]], axis=0), batch)


def _scale_window(tf: ModuleType, picture: Picture, window: Any, batch: BatchSpec) -> Any:
    """Decode the window (top, left, height, width) of a picture to uint8 [image_px, image_px, 3]."""
    image = picture.cut(window)
    # Without antialiasing a crop that is scaled down shows moire, which the packer took care to avoid.
    image = tf.image.resize(image, [batch.image_px, batch.image_px], antialias=True)
    return tf.saturate_cast(tf.round(image), tf.uint8)
