"""The archive of an environment runs at any path, holds nothing of the machine that made it, and has equal bytes."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from build_archive import ARCHIVE, is_wanted, pack_environment

pytestmark = pytest.mark.slow


def make_environment(folder: Path) -> Path:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python3*/site-packages")
    for name in ("packed/__init__.py", "packed/__pycache__/x.pyc", "pyarrow/tests/test_x.py", "pip/__init__.py"):
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text("")
    return folder


def test_it_runs_from_another_path(tmp_path: Path) -> None:
    first, second = make_environment(tmp_path / "a"), make_environment(tmp_path / "b")
    archive, again = tmp_path / ARCHIVE, tmp_path / "again.tar.gz"
    pack_environment(first, archive, sys.base_prefix)
    pack_environment(second, again, sys.base_prefix)
    assert archive.read_bytes() == again.read_bytes()
    with tarfile.open(archive) as file:
        names = file.getnames()
        file.extractall(tmp_path / "elsewhere" / "environment", filter="fully_trusted")
    assert not [name for name in names if "pycache" in name or "/tests/" in name or "/pip/" in name]
    python = "./environment/bin/python"
    code = "import packed, sys; print(packed.__file__, sys.prefix)"
    done = subprocess.run([python, "-c", code], cwd=tmp_path / "elsewhere", capture_output=True, text=True, check=True)
    place = tmp_path / "elsewhere/environment"
    assert done.stdout.split()[0].startswith(f"{place}/lib/python3")
    assert done.stdout.split()[1] == str(place)


def test_nodes_bring_the_interpreter(tmp_path: Path) -> None:
    pack_environment(make_environment(tmp_path / "a"), tmp_path / ARCHIVE, "/opt/of-nodes")
    with tarfile.open(tmp_path / ARCHIVE) as file:
        links = {entry.name: entry.linkname for entry in file if entry.issym() and entry.name.startswith("bin/")}
        settings = file.extractfile("pyvenv.cfg")
        assert settings is not None
        assert b"home = /opt/of-nodes/bin\n" in settings.read()
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    target = f"/opt/of-nodes/bin/{version}"
    assert links == {"bin/python": version, "bin/python3": version, f"bin/{version}": target}
    assert not is_wanted("bin/pip")
    assert not is_wanted("lib/python3.11/site-packages/pyarrow/libarrow_flight.so.2600")
    assert is_wanted("lib/python3.11/site-packages/pyarrow/libarrow_substrait.so.2600")
