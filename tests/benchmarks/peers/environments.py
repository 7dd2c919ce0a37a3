"""The peers' virtual environments, made from pinned lists below build/bench/ and kept until a list changes."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
BUILD = ROOT / "build" / "bench"
_REQUIREMENTS = Path(__file__).parent / "requirements"
_FROM_PACKAGES = ("opencv-python-headless", "pillow", "numpy", "torch", "tensorflow-cpu")


class InstallError(Exception):
    """An environment could not be made."""


def environment(name: str) -> Path:
    """Return the folder of a complete environment, making it first where it is missing or of another list.

    Raises:
        InstallError: pip failed; holds its last line.
    """
    folder = BUILD / "environments" / name
    wanted = _REQUIREMENTS / f"{name}.txt"
    stamp = folder / ".installed"
    digest = hashlib.sha256(wanted.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    print(f"installing the environment {name} ...", file=sys.stderr, flush=True)
    _run([sys.executable, "-m", "venv", str(folder)])
    pip = ["-m", "pip", "--disable-pip-version-check", "--quiet", "install", "--requirement", str(wanted)]
    _run([str(python_of(folder)), *pip])
    stamp.write_text(digest)
    return folder


def python_of(folder: Path) -> Path:
    return folder / "bin" / "python"


def package_path(folder: Path, inside: str) -> Path:
    """Return the path of a file inside an environment's packages, found without importing any of them."""
    return next((folder / "lib").glob("python3*")) / "site-packages" / inside


def installed_versions(name: str) -> dict[str, str]:
    """Return the versions of what the list names and of the libraries that do the work underneath.

    There are none before the environment is first needed.
    """
    wanted = [line.split("==")[0] for line in (_REQUIREMENTS / f"{name}.txt").read_text().splitlines() if "==" in line]
    python = python_of(BUILD / "environments" / name)
    if not python.exists():
        return {}
    listed = subprocess.run([str(python), "-m", "pip", "list", "--format", "json"], capture_output=True, check=False)
    found = {entry["name"].lower(): entry["version"] for entry in json.loads(listed.stdout or "[]")}
    return {package: found[package] for package in sorted({*wanted, *_FROM_PACKAGES}) if package in found}


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise InstallError(lines[0] if lines else f"{command[0]} ended with {done.returncode}")
