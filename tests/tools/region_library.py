"""Compile packer/loading/jpeg_region.c into the library that reads parts of JPEGs:  region_library.py [FILE]

With the compiler and the static libjpeg-turbo of this machine (Debian: gcc, libjpeg62-turbo-dev), for this machine.
`build_wheels.py` does it for others.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "packer" / "loading" / "jpeg_region.c"
LIBRARY = ROOT / "packer" / "loading" / "libjpegregion.so"

_FLAGS = (
    *("-std=gnu11", "-O2", "-g0", "-Wall", "-Wextra", "-Werror", "-Wno-format-nonliteral"),
    *("-fPIC", "-shared", "-fvisibility=hidden", "-fstack-protector-strong"),
)
_EXPORTS = "{ global: packer_jpeg_*; local: *; };\n"
"""Another libjpeg in the process must neither take the place of this one nor find its functions."""


@dataclass(frozen=True, slots=True)
class Toolchain:
    """What compiles and links."""

    compiler: Sequence[str]
    """A C compiler that takes GCC's options, with the options that choose the machine."""
    include_folders: Sequence[Path]
    """Where jpeglib.h and jconfig.h are; the compiler's own folders come after these."""
    libjpeg: Path
    """libjpeg-turbo as a static library, position-independent."""


def compile_library(toolchain: Toolchain, target: Path, *, options: Sequence[str] = ()) -> None:
    """Write the library. Raises subprocess.CalledProcessError, after the compiler has said why."""
    with tempfile.TemporaryDirectory() as folder:
        exports = Path(folder, "exports")
        exports.write_text(_EXPORTS, encoding="utf-8")
        linking = (f"-Wl,--version-script={exports}", "-Wl,-z,defs", "-Wl,-z,noexecstack")
        includes = [f"-I{include}" for include in toolchain.include_folders]
        command = [*toolchain.compiler, *_FLAGS, *options, *includes, "-o", target, SOURCE, toolchain.libjpeg, *linking]
        subprocess.run([str(word) for word in command], check=True)


def find_host_toolchain() -> Toolchain:
    """Return this machine's. Raises SystemExit with what to install where something is missing."""
    try:
        run = subprocess.run(["gcc", "-print-file-name=libjpeg.a"], check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise SystemExit("expected gcc on PATH, found none; Debian: apt-get install gcc") from None
    libjpeg = Path(run.stdout.strip())
    if not libjpeg.is_absolute():
        raise SystemExit("expected a static libjpeg-turbo, found none; Debian: apt-get install libjpeg62-turbo-dev")
    return Toolchain(["gcc"], [], libjpeg)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else LIBRARY
    compile_library(find_host_toolchain(), target)
    print(target)
