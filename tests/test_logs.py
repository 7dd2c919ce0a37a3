"""Silent as a library, and where a command line asks for them, log records that are safe to print."""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from packer.logs import LogLevel, LogSettings, inherited_settings, start_logs, stop_logs
from packer.shown_text import cause_of

ROOT = Path(__file__).parent.parent
LOGGER = logging.getLogger("packer.some.part")


@pytest.fixture(autouse=True)
def without_logs() -> Iterator[None]:
    yield
    stop_logs()


def test_a_library_says_nothing() -> None:
    code = "import packer, logging; logging.getLogger('packer.stores').error('it failed')"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert (run.stdout, run.stderr) == ("", "")


def test_callers_have_the_records_in_their_own_logs() -> None:
    code = "import packer, logging; logging.basicConfig(); logging.getLogger('packer.stores').error('it failed')"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stderr == "ERROR:packer.stores:it failed\n"


def test_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    start_logs(LogSettings(log_level=LogLevel.INFO))
    LOGGER.debug("not shown")
    LOGGER.info("a\x1b[2J\n%s", "https://h/a?X-Amz-Signature=1")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(r"] a\x1b[2J\nhttps://h/a?...")
    assert " info packer.some.part [" in line


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    start_logs(LogSettings(log_json=True))
    try:
        raise ValueError("wrong\x9b")
    except ValueError:
        LOGGER.warning("it failed", exc_info=True)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.isprintable()
    record = json.loads(line)
    assert (record["level"], record["logger"]) == ("warning", "packer.some.part")
    assert record["message"] == "it failed: ValueError: wrong\x9b"
    assert record["time"].endswith("+00:00")


@pytest.mark.parametrize("settings", [LogSettings(), LogSettings(log_level=LogLevel.DEBUG, log_json=True)])
def test_processes_that_are_started_have_the_same(settings: LogSettings) -> None:
    assert inherited_settings() is None
    start_logs(settings)
    code = "from packer.logs import inherited_settings as s; print(s())"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout == f"{settings}\n"
    stop_logs()
    assert inherited_settings() is None


def test_causes_of_errors_hold_no_secret() -> None:
    answer = "status code: 403, <Error><AWSAccessKeyId>AKIA</AWSAccessKeyId>\n</Error> of https://h/k?X-Amz-Signature=1"
    assert cause_of(OSError(answer)) == "OSError: status code: 403, <...> of https://h/k?..."
