"""A command and its workers do without pandas where it is installed; Spark gets it."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from packer.without_pandas import leave_pandas_out, let_pandas_in
from tests.tools.datasets import write_images


def test_neither_a_command_nor_its_worker_imports_pandas(tmp_path: Path) -> None:
    trace = tmp_path / "imported"
    (tmp_path / "pandas.py").write_text(f"open({str(trace)!r}, 'a').close()\n__version__ = '2.2.0'\n")
    command = [sys.executable, "-m", "packer", "pack", str(write_images(tmp_path / "source", 8)), str(tmp_path / "out")]
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{os.getcwd()}"}
    subprocess.run([*command, "--gpus", "1", "--workers", "1"], check=True, env=environment, capture_output=True)
    assert not trace.exists()


def test_spark_gets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pandas", raising=False)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    (tmp_path / "pandas.py").write_text("here = True")
    monkeypatch.syspath_prepend(tmp_path)
    leave_pandas_out()
    leave_pandas_out()
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("pandas")
    let_pandas_in()
    assert importlib.import_module("pandas").here
    monkeypatch.delitem(sys.modules, "pandas")
