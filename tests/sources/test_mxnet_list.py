import numpy as np
import pyarrow as pa
import pytest

from packer.sources.items import LabelKind
from tests.sources.listings import failure, listed, write_csv


def write_list(folder, text):
    return write_csv(folder, text, "train.lst")


def test_one_whole_label_is_a_class(folder):
    listing = listed(write_list(folder, "7\t3.000000\tsub/d.jpg\n\n 0 \t 0 \t./a.jpg \r\n"))
    assert listing.items.to_pylist() == [
        {"key": "a.jpg", "num_bytes": 1, "label": 0},
        {"key": "sub/d.jpg", "num_bytes": 4, "label": 3},
    ]
    assert listing.label_kind is LabelKind.CLASS
    assert listing.items["label"].type == pa.int64()


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("0.5", "1", [[0.5], [1.0]]),
        ("1\t2", "3\t4.5", [[1.0, 2.0], [3.0, 4.5]]),
        ("1e20", "2", [[np.float32(1e20)], [2]]),
    ],
)
def test_other_labels_are_vectors(folder, first, second, expected):
    listing = listed(write_list(folder, f"0\t{first}\ta.jpg\n1\t{second}\tb.jpg\n"))
    assert listing.items["label"].to_pylist() == expected
    assert listing.items["label"].type == pa.large_list(pa.float32())
    assert listing.label_kind is LabelKind.FLOATS


def test_minus_one_throughout_means_no_label(folder):
    listing = listed(write_list(folder, "0\t-1.0\ta.jpg\n1\t-1\tb.jpg\n"))
    assert (listing.label_kind, listing.items.column_names) == (LabelKind.NONE, ["key", "num_bytes"])
    assert "a negative class id in column 'label' of 1 of 2 rows: line 3" in failure(
        write_list(folder, "0\t1\ta.jpg\n\n1\t-1\tb.jpg\n")
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("0\t1\ta.jpg\n\n1\tb.jpg\n", "line 3: expected index, label and path"),
        ("0\t1\ta.jpg\nx\t1\tb.jpg\n", "line 2: expected a whole number"),
        ("0\t1\ta.jpg\n1\tcat\tb.jpg\n", "line 2: expected a whole number and labels"),
        ("0\t1\ta.jpg\n\n1\t1\t2\tb.jpg\n", "line 3: expected 1 labels as on the first, got 2"),
        ("0\tnan\ta.jpg\n", "not a finite 32-bit float in column 'label' of 1 of 1 rows: line 1"),
        ("0\t1\ta.jpg\n1\t1\tgone.jpg\n", "'gone.jpg' (line 2)"),
        ("0\t1\ta.jpg\n1\t1\ta.jpg\n", "'a.jpg' at line 1 and line 2"),
        ("\n \n", "nothing in it"),
        ("", "nothing in it"),
        (b"0\t1\t\xe4.jpg\n", "utf-8"),
    ],
)
def test_bad_lists(folder, text, problem):
    assert problem in failure(write_list(folder, text))


def test_lines_are_told_beyond_the_first_batch(folder, monkeypatch):
    monkeypatch.setattr("packer.sources.mxnet_list._BATCH_LINES", 2)
    for name in "efg":
        (folder / f"{name}.jpg").touch()
    good = "".join(f"{index}\t{index % 2}\t{name}.jpg\n" for index, name in enumerate("abcef"))
    assert listed(write_list(folder, good)).items["label"].to_pylist() == [0, 1, 0, 1, 0]
    assert "line 6: expected index" in failure(write_list(folder, good + "bad\n"))
    assert "line 6: expected 1 labels" in failure(write_list(folder, good + "5\t1\t2\tg.jpg\n"))
