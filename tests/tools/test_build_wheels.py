"""The wheel with a compiled part is one that pip takes, and one that says for which machines it is."""

from __future__ import annotations

import platform
import subprocess
import sys
import zipfile

import build_wheels
import pytest
import region_library

HOST = next((machine for machine in build_wheels.MACHINES if machine.name == platform.machine()), None)


@pytest.fixture
def library(tmp_path):
    if HOST is None or not region_library.LIBRARY.exists():
        pytest.skip("the compiled part was not made: run `make crop-decoder`")
    return region_library.LIBRARY


@pytest.mark.slow
def test_a_wheel_with_the_library_installs_and_decodes(tmp_path, library):
    pure = build_wheels.build_pure_wheel(tmp_path)
    wheel = build_wheels.add_library(pure, library, HOST, b"licence of the library")
    assert wheel.name.endswith(f"-py3-none-manylinux_2_28_{HOST.name}.whl")
    with zipfile.ZipFile(wheel) as found, zipfile.ZipFile(pure) as before:
        names = set(found.namelist())
        (text,) = (found.read(name).decode() for name in names if name.endswith("/WHEEL"))
        added = names - set(before.namelist())
    assert {name.rpartition("/")[2] for name in added} == {"libjpegregion.so", "libjpeg-turbo.txt"}
    assert "Root-Is-Purelib: false" in text
    assert f"Tag: py3-none-manylinux_2_28_{HOST.name}" in text
    target = tmp_path / "installed"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", target, wheel]
    subprocess.run(install, check=True)
    code = "from packer.loading import jpeg_region as r; print(r.__file__); print(bool(r.load_library()))"
    run = subprocess.run([sys.executable, "-c", code], cwd=target, check=True, capture_output=True, text=True)
    path, is_loaded = run.stdout.split()
    assert path.startswith(str(target))
    assert is_loaded == "True"


def test_a_library_of_another_machine_is_refused(tmp_path, library):
    (other,) = (machine for machine in build_wheels.MACHINES if machine != HOST)
    with pytest.raises(SystemExit, match=f"expected a 64-bit library for {other.name}"):
        build_wheels.check_library(library, other)


def test_a_library_for_a_newer_c_library_is_refused(tmp_path, library):
    newer = tmp_path / "newer.so"
    newer.write_bytes(library.read_bytes() + b"\0GLIBC_2.38\0")
    with pytest.raises(SystemExit, match=r"found .*\(2, 38\)"):
        build_wheels.check_library(newer, HOST)
    build_wheels.check_library(library, HOST)
