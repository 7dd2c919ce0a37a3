"""Programs run by a real spark-submit, on a Python that has the libraries but not this package."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.tools.spark_sessions import QUICK_JVM, ROOT

CLUSTER = "local-cluster[2,1,1024]"
"""Two executors, each a process of its own."""
_CLEARED = ("PYTHONPATH", "PYTHONHOME", "PYSPARK_SUBMIT_ARGS", "PYSPARK_DRIVER_PYTHON", "SPARK_HOME", "SPARK_CONF_DIR")


class Submitter:
    """Runs spark-submit from a folder of its own, with the package as a zip file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.zip = _zip_package(folder / "shardpack.zip")
        self.python = _bare_python(folder / "python")

    def submit(
        self, program: Path, *arguments: object, master: str = "local[2]", options: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end; `options` are spark-submit's own, such as ``--py-files``."""
        from pyspark.find_spark_home import _find_spark_home

        command = [f"{_find_spark_home()}/bin/spark-submit", "--master", master, *options]
        for setting in ("ui.enabled=false", "driver.host=127.0.0.1", "driver.bindAddress=127.0.0.1"):
            command += ["--conf", f"spark.{setting}"]
        command += ["--driver-java-options", QUICK_JVM, "--conf", f"spark.executor.extraJavaOptions={QUICK_JVM}"]
        return self._run([*command, str(program), *map(str, arguments)])

    def run_python(self, code: str) -> subprocess.CompletedProcess[str]:
        """Run code on the Python that spark-submit is given, from the same folder."""
        return self._run([str(self.python), "-c", code])

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if name not in _CLEARED}
        environment["PYSPARK_PYTHON"] = str(self.python)
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=300, check=False
        )


def _zip_package(path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted((ROOT / "packer").rglob("*.py")):
            archive.write(file, file.relative_to(ROOT))
    return path


def _bare_python(path: Path) -> Path:
    """Write a Python without `site`, so that an editable install of the package (a .pth file) has no effect."""
    import pyarrow

    libraries = Path(pyarrow.__file__).parents[1]
    path.write_text(f'#!/bin/sh\nPYTHONPATH="${{PYTHONPATH:+$PYTHONPATH:}}{libraries}" exec {sys.executable} -S "$@"\n')
    path.chmod(0o755)
    return path
