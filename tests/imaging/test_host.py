"""What a host lacks is no fault of an image: good ones decode all the same, or the run fails; none is rejected."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib

import pytest
from PIL import Image, features

from packer.errors import PackerError
from packer.imaging.faults import FileFormat, rejecting
from packer.imaging.rejects import RejectError, RejectReason
from tests.imaging.images import file_of, noise, png_file, tiff_file

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits in another way")

GREY = noise(64, 64, 40)
TIFF = file_of(GREY, "TIFF", compression="tiff_lzw")
PROGRAM = """
import os, resource, sys, tempfile
from packer.errors import PackerError
from packer.imaging.transform import transform_image
from packer.options import PackOptions

spec = PackOptions(source="a", dest="b").image_spec()
data = sys.stdin.buffer.read()
{limits}
try:
    sample = transform_image(data, spec)
    print("a sample of", sample.width, "pixels")
except PackerError as error:
    print(type(error).__name__, error)
"""
NOTHING_TO_WRITE_TO = "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))"
"""As with a full disk or a root that is read-only: Python finds no folder for temporary files."""
NO_FILES_IN_MEMORY = "del os.memfd_create"
"""As on other systems than Linux."""
NO_DESCRIPTORS = "transform_image(data, spec); resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))"


def outcome(data, *limits, **environment):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(limits="\n".join(limits))],
        input=data,
        capture_output=True,
        check=True,
        env={**os.environ, **environment},
    )
    assert done.stderr == b""
    return done.stdout.decode()


@pytest.mark.parametrize("limits", [(NOTHING_TO_WRITE_TO,), (NO_FILES_IN_MEMORY,)], ids=["no folder", "no memfd"])
def test_a_tiff_decodes_without_a_folder_for_temporary_files_or_without_files_in_memory(limits):
    assert outcome(TIFF, *limits, TMPDIR="/nowhere") == "a sample of 256 pixels\n"


def test_neither_fails_the_run_and_names_the_cause():
    text = outcome(TIFF, NOTHING_TO_WRITE_TO, NO_FILES_IN_MEMORY, TMPDIR="/nowhere")

    assert text.startswith("PackerError cannot open a temporary file, which decoding a TIFF takes, neither in memory (")
    assert "memfd_create" in text
    assert "No usable temporary directory found in ['/nowhere', " in text
    assert "TMPDIR" in text


def test_descriptors_that_run_out_fail_the_run():
    text = outcome(TIFF, NO_DESCRIPTORS)

    assert text.startswith("PackerError cannot open a temporary file")
    assert "Too many open files" in text


@pytest.mark.slow
def test_what_libtiff_prints_is_told_without_a_folder_too():
    damaged = TIFF[: len(TIFF) // 2] + b"\xff" * 200 + TIFF[len(TIFF) // 2 + 200 :]

    assert outcome(damaged, TMPDIR="/nowhere") == outcome(damaged, NO_FILES_IN_MEMORY)
    assert outcome(damaged).startswith("RejectError ")


MEMORY = """
import resource, sys
from packer.imaging.decoding import decode_image

def outcome():
    try:
        decode_image(data, max_pixels=10**8, draft_request=lambda source, _: source)
        return "decoded"
    except Exception as error:
        return f"{type(error).__name__} {error}".strip()

data, libraries = (open(path, "rb").read() for path in sys.argv[1:])
decode_image(libraries, max_pixels=10**8, draft_request=lambda source, _: source)
with open("/proc/self/statm") as statm:
    used = int(statm.read().split()[0]) * resource.getpagesize()
outcomes = []
while outcomes[-1:] != ["decoded"]:
    resource.setrlimit(resource.RLIMIT_AS, (used + (len(outcomes) << 21), resource.RLIM_INFINITY))
    outcomes.append(outcome())
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
print(*outcomes, sep="\\n")
"""
"""Decodes with ever more memory until there is enough."""
GRAINS = noise(1600, 1200, 60)
COLOUR = Image.merge("RGB", [GRAINS] * 3)
DEFLATE = 8
MAKERS = {
    "png": lambda size: file_of(COLOUR.resize(size), "PNG"),
    "wide png": lambda size: png_file(size[0] * size[1], 1, [bytes(3 * size[0] * size[1])], bits=8),
    "gif": lambda size: file_of(GRAINS.resize(size), "GIF"),
    "bmp": lambda size: file_of(COLOUR.resize(size), "BMP"),
    "jpeg": lambda size: file_of(COLOUR.resize(size), "JPEG"),
    "progressive": lambda size: file_of(COLOUR.resize(size), "JPEG", progressive=True),
    "progressive cmyk": lambda size: file_of(COLOUR.resize(size).convert("CMYK"), "JPEG", progressive=True),
    "webp": lambda size: file_of(COLOUR.resize(size), "WEBP", method=0),
    "jpeg 2000": lambda size: file_of(COLOUR.resize(size), "JPEG2000"),
    "tiff of one strip": lambda size: tiff_file(
        *size, zlib.compress(GRAINS.resize(size).tobytes()), bits=8, compression=DEFLATE
    ),
    "zstd tiff": lambda size: file_of(COLOUR.resize(size), "TIFF", compression="zstd"),
    "avif": lambda size: file_of(COLOUR.resize(size), "AVIF", speed=10),
}
OTHER_WORDS = {"progressive cmyk", "webp", "jpeg 2000", "tiff of one strip", "avif"}
"""Those whose decoders often do not say that it was memory."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF"))
        if kind == "avif"
        else kind
        for kind in MAKERS
    ],
)
def test_a_decoder_that_runs_out_of_memory_rejects_nothing(kind, tmp_path):
    (tmp_path / "large").write_bytes(MAKERS[kind](GRAINS.size))
    (tmp_path / "small").write_bytes(MAKERS[kind]((16, 16)))
    command = [sys.executable, "-c", MEMORY, tmp_path / "large", tmp_path / "small"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    *short, last = done.stdout.splitlines()
    assert last == "decoded"
    assert short
    assert all(outcome.startswith("MemoryError") for outcome in short)
    assert kind not in OTHER_WORDS or any("or the file is damaged" in outcome for outcome in short)


@pytest.mark.parametrize(
    "text",
    [
        "out of memory when reading image file",
        "out of memory error when reading image file",
        "Failed to decode: Out of memory",
    ],
)
def test_decoders_words_for_memory(text):
    with pytest.raises(MemoryError, match=text), rejecting(FileFormat("PNG"), b""):
        raise OSError(text)


def test_a_strip_of_a_tiff_that_makes_no_sense_is_damage():
    """Pillow has one number for that and for memory; here there is enough."""
    with pytest.raises(RejectError) as caught, rejecting(FileFormat("TIFF"), b""):
        raise OSError("decoder error -9")
    assert caught.value.reason is RejectReason.CORRUPT


def test_errors_of_the_host_pass_the_boundary_of_decoders():
    with pytest.raises(PackerError, match="^no descriptors$") as caught, rejecting(FileFormat("TIFF"), b""):
        raise PackerError("no descriptors")
    assert not isinstance(caught.value, RejectError)
