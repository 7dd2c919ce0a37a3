"""SHARDPACK_NO_SKIPS=1 must fail whatever was skipped, or a check that never ran would pass for one that did."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parent.parent
IN_A_TEST = "import pytest\ndef test_x():\n    pytest.skip('no server')\n"
IN_A_MODULE = "import pytest\npytest.importorskip('no_such_library')\ndef test_x(): pass\n"
ALLOWED = "import pytest\n@pytest.mark.may_skip\ndef test_x():\n    pytest.skip('no server')\n"
EXPECTED_FAILURE = "import pytest\n@pytest.mark.xfail\ndef test_x():\n    assert False\n"


def run_pytest(folder: Path, source: str, no_skips: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(source)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = may_skip: allowed\n")
    environment = os.environ | {"SHARDPACK_NO_SKIPS": no_skips, "PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS / 'tools'}"}
    command = [sys.executable, "-m", "pytest", "-p", "conftest", "-p", "no:cacheprovider", str(folder)]
    return subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True, check=False)


@pytest.mark.parametrize("source", [IN_A_TEST, IN_A_MODULE])
def test_a_skip_fails_only_in_strict_mode(tmp_path: Path, source: str) -> None:
    assert "1 skipped" in run_pytest(tmp_path, source, no_skips="0").stdout
    strict = run_pytest(tmp_path, source, no_skips="1")
    assert strict.returncode != 0
    assert "nothing may be skipped under SHARDPACK_NO_SKIPS=1, but: " in strict.stdout


@pytest.mark.parametrize(("source", "counts"), [(ALLOWED, "1 skipped"), (EXPECTED_FAILURE, "1 xfailed")])
def test_allowed_skips_and_expected_failures_pass(tmp_path: Path, source: str, counts: str) -> None:
    strict = run_pytest(tmp_path, source, no_skips="1")
    assert strict.returncode == 0
    assert counts in strict.stdout
