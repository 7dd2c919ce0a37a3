"""Build wheels with the compiled part for Linux on x86-64 and arm64, glibc 2.28 and later:  build_wheels.py FOLDER

Needs, beside this environment's setuptools and wheel, `ziglang` (compiles and links for either machine on any) and a
Debian or Ubuntu, whose apt fetches libjpeg-turbo's static library for both; nothing is installed on the machine. The
wheel without the compiled part is written too: pip takes that one everywhere else.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from region_library import LIBRARY, ROOT, Toolchain, compile_library
from wheel.wheelfile import WheelFile

GLIBC = (2, 28)
"""Of Debian 10, RHEL 8, Amazon Linux 2023 and what is newer."""
_PACKAGE = "libjpeg62-turbo-dev"
_LICENCE = Path("usr", "share", "doc", _PACKAGE, "copyright")
_LIBRARY_NAME = LIBRARY.relative_to(ROOT).as_posix()


@dataclass(frozen=True, slots=True)
class Machine:
    """A kind of machine under the names that others have for it."""

    name: str
    """Of compilers and wheels."""
    debian: str
    elf: int
    """`e_machine` of the ELF header."""


MACHINES = (Machine("x86_64", "amd64", 62), Machine("aarch64", "arm64", 183))


def build_pure_wheel(folder: Path) -> Path:
    """Build the wheel without compiled parts and return its path."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    with tempfile.TemporaryDirectory() as scratch:
        tree, found = Path(scratch, "tree"), Path(scratch, "wheel")
        shutil.copytree(ROOT / "packer", tree / "packer", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, tree)
        subprocess.run([*command, found, "."], cwd=tree, check=True)
        (wheel,) = found.glob("*.whl")
        return Path(shutil.copy(wheel, folder))


def add_library(pure: Path, library: Path, machine: Machine, licence: bytes) -> Path:
    """Write a copy of a wheel that holds the library too, tagged for the machine; return its path."""
    tag = f"manylinux_{GLIBC[0]}_{GLIBC[1]}_{machine.name}"
    target = pure.with_name(pure.name.replace("-any.whl", f"-{tag}.whl"))
    with zipfile.ZipFile(pure) as source, WheelFile(target, "w") as wheel:
        for name in source.namelist():
            data = source.read(name)
            if name.endswith(".dist-info/RECORD"):
                continue  # written anew when the wheel is closed
            if name.endswith(".dist-info/WHEEL"):
                text = data.decode().replace("Tag: py3-none-any", f"Tag: py3-none-{tag}")
                data = text.replace("Root-Is-Purelib: true", "Root-Is-Purelib: false").encode()
                wheel.writestr(name.replace("WHEEL", "licenses/libjpeg-turbo.txt"), licence)
            wheel.writestr(source.getinfo(name), data)
        wheel.writestr(_LIBRARY_NAME, library.read_bytes())
    return target


def check_library(library: Path, machine: Machine) -> None:
    """Raise SystemExit unless it is a shared library for the machine that asks for no newer C library than GLIBC."""
    data = library.read_bytes()
    if data[:6] != b"\x7fELF\x02\x01" or int.from_bytes(data[18:20], "little") != machine.elf:
        raise SystemExit(f"{library}: expected a 64-bit library for {machine.name}, found header {data[:20].hex()}")
    versions = {(int(major), int(minor)) for major, minor in re.findall(rb"\0GLIBC_(\d+)\.(\d+)", data)}
    if not versions or max(versions) > GLIBC:
        raise SystemExit(f"{library}: expected symbols of glibc up to {GLIBC}, found {sorted(versions)}")


def fetch_libjpeg(folder: Path) -> None:
    """Unpack libjpeg-turbo of each machine into a folder of its Debian name, by apt with state of its own."""
    for name in ("state/lists/partial", "cache/archives/partial", "packages"):
        (folder / name).mkdir(parents=True)
    options = [f"Dir::State={folder}/state", "Dir::State::status=/dev/null", f"Dir::Cache={folder}/cache"]
    options += [f"APT::Architectures::={machine.debian}" for machine in MACHINES] + ["APT::Sandbox::User=root"]
    apt = ["apt-get", "--quiet=2", *(word for option in options for word in ("-o", option))]
    subprocess.run([*apt, "update"], check=True)
    names = [f"{_PACKAGE}:{machine.debian}" for machine in MACHINES]
    subprocess.run([*apt, "download", *names], cwd=folder / "packages", check=True)
    for machine in MACHINES:
        (package,) = (folder / "packages").glob(f"*_{machine.debian}.deb")
        subprocess.run(["dpkg-deb", "--extract", package, folder / machine.debian], check=True)


def compile_for(machine: Machine, unpacked: Path, target: Path) -> None:
    """Compile the library against an unpacked Debian package."""
    glibc = f"{machine.name}-linux-gnu.{GLIBC[0]}.{GLIBC[1]}"
    compiler = [sys.executable, "-m", "ziglang", "cc", "-target", glibc, "-s"]
    include, triple = unpacked / "usr" / "include", f"{machine.name}-linux-gnu"
    libjpeg = unpacked / "usr" / "lib" / triple / "libjpeg.a"
    compile_library(Toolchain(compiler, [include, include / triple], libjpeg), target)
    check_library(target, machine)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("shardpack-*.whl"):
        with contextlib.suppress(FileNotFoundError):
            old.unlink()
    pure = build_pure_wheel(folder)
    print(pure)
    with tempfile.TemporaryDirectory() as scratch:
        fetch_libjpeg(Path(scratch))
        for machine in MACHINES:
            unpacked, library = Path(scratch, machine.debian), Path(scratch, f"{machine.name}.so")
            compile_for(machine, unpacked, library)
            print(add_library(pure, library, machine, (unpacked / _LICENCE).read_bytes()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
