"""Which codecs this machine's libraries have, for people who ask."""

from __future__ import annotations

import cykooz_resizer
from PIL import features

_CODECS = {
    "JPEG (libjpeg-turbo)": "libjpeg_turbo",
    "PNG (zlib)": "zlib",
    "WebP": "webp",
    "AVIF": "avif",
    "TIFF (libtiff)": "libtiff",
    "JPEG 2000": "jpg_2000",
}


def list_codecs() -> dict[str, str]:
    """Return the release of each codec's library; empty for one that Pillow was built without."""
    known = {*features.modules, *features.codecs, *features.features}
    return {name: str(features.version(key) or "") if key in known else "" for name, key in _CODECS.items()}


def resampling_instructions() -> str:
    """Return which of the processor's instructions the resampler uses."""
    return str(cykooz_resizer.Resizer().cpu_extensions).rpartition(".")[2]
