"""What RecordIO cannot hold is refused before anything is written, by the rules that its files are written by."""

import shutil
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from packer.cli.main import run
from packer.dataset.itemcheck import check_items
from packer.errors import OptionsError
from packer.formats.index import UNLISTABLE_PATH, ListEntry, format_list
from packer.formats.irheader import MAX_CLASS_ID
from packer.specs import FormatName
from tests.tools.datasets import pack_small


def is_listable(path: str) -> bool:
    try:
        format_list([ListEntry(index=0, labels=(1.0,), path=path)])
    except OptionsError:
        return False
    return True


@pytest.mark.slow
def test_arrow_and_python_agree_on_every_character() -> None:
    characters = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    for form in ("{}a", "a{}", "a{}b", "{}"):
        paths = [form.format(character) for character in characters]
        found = pc.match_substring_regex(pa.array(paths, pa.large_string()), UNLISTABLE_PATH).to_pylist()
        for path, is_unlistable in zip(paths, found, strict=True):
            plain = path == path.strip() and "\t" not in path and len(path.splitlines()) == 1
            assert is_unlistable == (not plain), repr(path)
            if is_unlistable or path.isspace():
                assert not is_listable(path), repr(path)
    assert pc.match_substring_regex(pa.array([""]), UNLISTABLE_PATH).to_pylist() == [True]


def items(keys: list[str], labels: list[int] | None = None) -> pa.Table:
    columns = {"key": pa.array(keys, pa.large_string())}
    return pa.table(columns if labels is None else {**columns, "label": pa.array(labels, pa.int64())})


def test_what_fits() -> None:
    check_items(items(["a b/c.jpg", "\u00e9.png"], [0, MAX_CLASS_ID]), FormatName.RECORDIO)
    check_items(items(["a"]), FormatName.RECORDIO)
    check_items(items([]), FormatName.RECORDIO)
    vectors = items(["a"]).append_column("label", pa.array([[1e9]], pa.large_list(pa.float32())))
    check_items(vectors, FormatName.RECORDIO)
    check_items(items(["a\tb", " "], [-1, 2**40]), FormatName.TFRECORD)


def test_the_number_and_the_first_are_told() -> None:
    with pytest.raises(OptionsError, match=r"^`format=recordio`: 2 of 3 keys .* the first is 'b\\tc': .*`format=tfrec"):
        check_items(items(["a", "b\tc", "d\u2028"]), FormatName.RECORDIO)
    with pytest.raises(OptionsError, match=r"2 of 3 items .* the first is 16777217 of b: expected 0 to 16777216; numb"):
        check_items(items(["a", "b", "c"], [0, MAX_CLASS_ID + 1, 2**40]), FormatName.RECORDIO)


def test_numbers_that_json_cannot_hold() -> None:
    rows = items(["a", "b", "c"]).append_column("x", pa.array([1.0, None, float("inf")]))
    with pytest.raises(OptionsError, match=r"^`format=webdataset`: the column 'x' .* in the row of c: expected none"):
        check_items(rows, FormatName.WEBDATASET)
    lists = items(["a", "b"]).append_column("label", pa.array([[], [0.5, float("nan")]], pa.large_list(pa.float32())))
    with pytest.raises(OptionsError, match=r"the column 'label' .* in the row of b: "):
        check_items(lists, FormatName.WEBDATASET)
    check_items(lists.slice(0, 1), FormatName.WEBDATASET)
    check_items(rows.slice(0, 2), FormatName.WEBDATASET)
    check_items(rows, FormatName.TFRECORD)


@pytest.fixture
def odd(tmp_path: Path, images: Path) -> Path:
    """Images of which one has a name that no list can hold."""
    source = tmp_path / "source"
    shutil.copytree(images, source)
    shutil.copy(source / "c0/0000.jpg", source / "c0/tab\tand\x0bmore.jpg")
    return source


@pytest.mark.parametrize("command", ["pack", "plan"])
def test_keys_are_checked_before_anything_is_written(
    odd: Path, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [command, str(odd), str(tmp_path / "out"), "--gpus", "4", "--resize", "24", "--workers", "1"]
    assert run([*arguments, "--format", "recordio"]) == 2
    assert "1 of 61 keys do not fit, the first is 'c0/tab\\tand\\x0bmore.jpg'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_class_ids_are_checked_before_anything_is_written(images: Path, tmp_path: Path) -> None:
    paths = sorted(str(path.relative_to(images)) for path in images.glob("*/*"))
    rows = [f"{path},{MAX_CLASS_ID + number}" for number, path in enumerate(paths)]
    (tmp_path / "list.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    with pytest.raises(OptionsError, match=r"59 of 60 items have a class id"):
        pack_small(tmp_path / "list.csv", tmp_path / "out", root=str(images), format="recordio")
    assert not (tmp_path / "out").exists()
    pack_small(tmp_path / "list.csv", tmp_path / "out", root=str(images))


def test_copies_are_checked_too(odd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack_small(odd, tmp_path / "packed", allow_fill=True)
    arguments = ["reshard", str(tmp_path / "packed"), str(tmp_path / "new"), "--gpus", "2", "--workers", "1"]
    assert run([*arguments, "--allow-fill", "--format", "recordio"]) == 2
    assert "1 of 61 keys do not fit" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
