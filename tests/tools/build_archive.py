"""Build what jobs on EMR and Glue bring with them:  build_archive.py FOLDER [--prefix /usr] [--package NAME ...]

    shardpack-*-py3-none-any.whl       the package alone
    shardpack_env.tar.gz               an environment with all libraries, for Spark and Glue to unpack on nodes
    glue_modules.txt                   pins of the libraries for Glue's additional-python-modules, on one line

The archive may lie at any path, and takes its interpreter from the nodes, which have the same version of Python below
PREFIX. Run this on Linux, on that version; wheels are those of manylinux, so that any distribution with glibc 2.28 will
do. Needs setuptools and wheel. (venv-pack 0.2 writes `/usr/bin/python3.113.11` for the interpreter.)
"""

from __future__ import annotations

import argparse
import fnmatch
import gzip
import io
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path

from build_wheels import build_pure_wheel
from region_library import ROOT

ARCHIVE = "shardpack_env.tar.gz"
MODULES = "glue_modules.txt"
MAX_ARCHIVE_BYTES = 120_000_000
"""Each executor fetches and unpacks it before its first task."""
_BESIDE = ("pandas>=1.5",)
"""Of the extra `spark`; pyspark itself is on the nodes."""
_UNUSED = (
    *("*/__pycache__/*", "*/site-packages/pip/*", "*/site-packages/setuptools/*", "*/site-packages/pkg_resources/*"),
    *("*/numpy/*/tests/*", "*/pandas/tests/*", "*/pyarrow/tests/*", "*/pyarrow/include/*", "*/pyarrow/src/*"),
    "*/pyarrow/*flight*",
)
"""What no packing job runs."""


def build_environment(folder: Path, wheel: Path, packages: list[str]) -> Path:
    """Install the wheel and its libraries into a new environment; return its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet", "install", "--only-binary", ":all:"]
    subprocess.run([*command, str(wheel), *_BESIDE, *packages], check=True)
    return python


def list_pins(python: Path) -> list[str]:
    """Return the libraries that the package names, each pinned to what is installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {_plain(re.split("[<>=~!]", text)[0]) for text in (*project["dependencies"], *_BESIDE)}
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "list", "--format", "freeze"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    pins = [line for line in lines if _plain(line.partition("==")[0]) in names]
    if len(pins) != len(names):
        raise SystemExit(f"expected a version of each of {sorted(names)}, found {pins}")
    return pins


def _plain(name: str) -> str:
    return re.sub("[-_.]+", "-", name.strip().lower())


def pack_environment(environment: Path, target: Path, prefix: str) -> None:
    """Write an archive of an environment whose interpreter is that of nodes. Raises SystemExit for one too large.

    A venv finds its libraries beside its interpreter's link, so it may lie anywhere; its scripts, which name their
    interpreter by a path, are left out. Equal environments give equal bytes.
    """
    interpreter = f"python{sys.version_info.major}.{sys.version_info.minor}"
    settings = f"home = {prefix}/bin\ninclude-system-site-packages = false\n".encode()
    with (
        open(target, "wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive,
    ):
        for path in sorted(environment.rglob("*")):
            name = path.relative_to(environment).as_posix()
            if is_wanted(name) and (path.is_symlink() or path.is_file()):
                archive.add(path, name, recursive=False, filter=_plain_entry)
        for name in ("python", "python3"):
            _add_link(archive, f"bin/{name}", interpreter)
        _add_link(archive, f"bin/{interpreter}", f"{prefix}/bin/{interpreter}")
        entry = tarfile.TarInfo("pyvenv.cfg")
        entry.size, entry.mode = len(settings), 0o644
        archive.addfile(entry, io.BytesIO(settings))
    if target.stat().st_size > MAX_ARCHIVE_BYTES:
        raise SystemExit(f"{target}: expected at most {MAX_ARCHIVE_BYTES:,} bytes, found {target.stat().st_size:,}")


def is_wanted(name: str) -> bool:
    """Say whether a path of an environment goes into the archive."""
    is_made_anew = name == "pyvenv.cfg" or name.startswith("bin/")
    return not is_made_anew and not any(fnmatch.fnmatch(name, pattern) for pattern in _UNUSED)


def _plain_entry(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry


def _add_link(archive: tarfile.TarFile, name: str, target: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    archive.addfile(entry)


def main() -> None:
    parser = argparse.ArgumentParser(description="what jobs on EMR and Glue bring with them")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--prefix", default="/usr", help="where nodes have bin/python3.N")
    parser.add_argument("--package", action="append", default=[], help="to be installed, too; repeatable")
    parser.add_argument("--wheel-only", action="store_true", help="build the wheel and nothing else")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    for old in given.folder.glob("shardpack-*.whl"):
        old.unlink()
    wheel = build_pure_wheel(given.folder)
    if given.wheel_only:
        print(wheel)
        return
    with tempfile.TemporaryDirectory() as scratch:
        environment = Path(scratch, "environment")
        python = build_environment(environment, wheel, given.package)
        (given.folder / MODULES).write_text(",".join(list_pins(python)) + "\n")
        pack_environment(environment, given.folder / ARCHIVE, given.prefix)
        shutil.rmtree(environment)
    for name in (wheel.name, ARCHIVE, MODULES):
        path = given.folder / name
        print(f"{path}  {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
