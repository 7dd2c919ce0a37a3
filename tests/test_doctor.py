"""The machine is told as it is, and what is missing is named with what to do."""

import json
import shutil
import sys

import pytest

from packer import doctor
from packer.cli.main import run


def checks() -> dict[str, doctor.Check]:
    return {check.name: check for check in doctor.run_checks()}


def test_it_finds_what_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDTEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrSECRET")
    found = checks()
    assert sys.executable in found["Python"].found
    assert found["codec JPEG (libjpeg-turbo)"].found[0].isdigit()
    assert found["resampling"].found in ("none", "sse4_1", "avx2", "neon")
    assert found["AWS credentials"].found == "from env"
    assert "SECRET" not in str(found)


def test_what_is_missing_comes_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(doctor, "_MIN_FREE_BYTES", 10**18)
    found = checks()
    assert "aws configure" in found["AWS credentials"].advice
    assert "openjdk" in found["Java"].advice
    assert not found["free here"].ok


def test_scripts_get_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {"name", "found", "ok", "advice"} == set(told["checks"][0])
    assert told["ok"] == all(check["ok"] for check in told["checks"])
