import io
import json
import re
from pathlib import Path

import pytest
from PIL import Image

from packer.cli.main import run
from packer.imaging.terminal_picture import draw_for_terminal
from tests.tools.datasets import image_bytes, pack_small, write_images


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("show")
    pack_small(write_images(folder / "photos", 12), folder / "set", gpus=2, allow_fill=True)
    return folder / "set"


def test_a_record_is_told_and_its_picture_written(
    packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["show", str(packed), "0", "-o", str(tmp_path / "one.jpg"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert Image.open(tmp_path / "one.jpg").size == (told["width"], told["height"])
    assert (tmp_path / "one.jpg").stat().st_size == told["encoded_num_bytes"]
    assert run(["show", str(packed), told["key"]]) == 0
    text = capsys.readouterr().out
    assert re.search(rf"^key +{re.escape(told['key'])}$", text, re.M)
    assert re.search(rf"^source_sha256 +{told['source_sha256']}$", text, re.M)


def test_what_cannot_be_shown_is_said_in_one_line(
    packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["show", str(packed), "none.jpg"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert run(["show", str(packed), "0", "-o", str(tmp_path / "none/one.jpg")]) == 2
    assert "one.jpg cannot be written: No such file" in capsys.readouterr().err


def test_a_picture_is_drawn_in_characters_of_its_colours() -> None:
    sink = io.BytesIO()
    picture = Image.new("RGB", (4, 4), (255, 0, 0))
    picture.paste((0, 0, 255), (0, 2, 4, 4))
    picture.save(sink, "PNG")
    lines = (draw_for_terminal(sink.getvalue(), width_chars=4) or "").split("\n")
    assert len(lines) == 2
    assert lines[0].count("\x1b[38;2;255;0;0m\x1b[48;2;255;0;0m▀") == 4
    assert lines[1].count("\x1b[38;2;0;0;255m\x1b[48;2;0;0;255m▀") == 4
    assert all(line.endswith("\x1b[0m") for line in lines)
    assert draw_for_terminal(image_bytes(1)[:100], width_chars=10) is None


@pytest.mark.parametrize("flag", ["-h", "--help", "--version"])
def test_the_short_ways_to_ask_what_this_is(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([flag]) == 0
    assert "shardpack" in capsys.readouterr().out
