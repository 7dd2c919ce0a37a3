"""What reaches a terminal: one line, nothing that moves or hides, no secret of a URL."""

import ast
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packer.shown_text import shown, shown_json, without_secrets

ROOT = Path(__file__).parent.parent
WRITERS = ("print", "typer.echo", "sys.stdout.write", "sys.stderr.write")
QUERY = "X-Amz-Credential=AKIA&X-Amz-Signature=0123456789abcdef"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\x1b[2Jb", r"a\x1b[2Jb"),
        ("a\x07b\r\nc\td", r"a\x07b\r\nc\td"),
        ("\x9b31m", r"\x9b31m"),
        ("gpj\u202egnp.exe\u2066\u200f", r"gpj\u202egnp.exe\u2066\u200f"),
        ("a\u2028b\ufeff", r"a\u2028b\ufeff"),
        ("a\udcffb", r"a\udcffb"),
        ("tag \U000e0041", r"tag \U000e0041"),
        ("Größe 犬 👍.jpg", "Größe 犬 👍.jpg"),
    ],
)
def test_characters(text: str, expected: str) -> None:
    assert shown(text) == expected


@given(st.text())
def test_every_text_is_printable_and_stays_so(text: str) -> None:
    assert shown(text).isprintable()
    assert shown(shown(text)) == shown(text)


@given(st.text() | st.lists(st.text()))
def test_json_means_the_same(value: object) -> None:
    text = shown_json(json.dumps(value, ensure_ascii=False))
    assert text.isprintable()
    assert json.loads(text) == value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"https://h/a.jpg?{QUERY}: no such file", "https://h/a.jpg?...: no such file"),
        (f"got 'https://h/a.jpg?{QUERY}' (line 2)", "got 'https://h/a.jpg?...' (line 2)"),
        (f"['https://h/a?{QUERY}', 'https://h/b?{QUERY}']", "['https://h/a?...', 'https://h/b?...']"),
        ("abfs://c@h/a?sv=2020&sig=x", "abfs://c@h/a?..."),
        (f"s3://bucket/a.jpg?{QUERY}", "s3://bucket/a.jpg?..."),
        ("https://me:word@h/a", "https://...@h/a"),
        ("https://h/a#access_token=1", "https://h/a?..."),
        ("s3://bucket/what?.jpg", "s3://bucket/what?.jpg"),
        ("photos/what?key=1.jpg", "photos/what?key=1.jpg"),
    ],
)
def test_secrets_of_urls(text: str, expected: str) -> None:
    assert shown(text) == without_secrets(text) == expected


def test_a_long_text_loses_its_middle() -> None:
    text = shown("a" * 3000 + "b" * 10_000 + "c" * 3000)
    assert text.startswith("aaa")
    assert text.endswith("ccc")
    assert "12,000 characters more" in text
    assert len(text) < 5000


def test_nothing_is_printed_but_through_it() -> None:
    """A rank's own output is passed on as it is: what a program of the user prints is theirs. Pictures are drawn."""
    found = []
    for path in sorted((ROOT / "packer").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in WRITERS and "shown" not in ast.unparse(node):
                found.append(f"{path.relative_to(ROOT)}: {ast.unparse(node.args[0])}")
    assert found == [
        "packer/__init__.py: _TEXT + '\\n'",
        "packer/cli/main.py: f'shardpack {__version__}'",
        "packer/cli/sagemaker_local_command.py: f'[{line.source}] {line.text}'",
        "packer/cli/show_command.py: drawing + '\\n'",
    ]
