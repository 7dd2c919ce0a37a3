"""On a Python that is too old the package says so, and nothing else goes wrong first."""

import re
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "packer/__init__.py"


def load(monkeypatch: pytest.MonkeyPatch, argv: list[str]) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 13))
    monkeypatch.setattr(sys, "argv", argv)
    exec(compile(SOURCE.read_text(), "packer/__init__.py", "exec"), {"__name__": "packer"})


def test_importing_it_names_python(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = re.escape(f"shardpack needs Python 3.11 or later, and this is Python 3.10 ({sys.executable})")
    with pytest.raises(ImportError, match=expected):
        load(monkeypatch, ["train.py"])


def test_the_command_says_it_in_one_line(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        load(monkeypatch, ["-m", "pack"])
    assert caught.value.code == 2
    out, errors = capsys.readouterr()
    assert (out, errors.count("\n")) == ("", 1)
    assert "this is Python 3.10 " in errors
