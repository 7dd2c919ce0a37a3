from datetime import date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from packer.sources.items import LabelKind
from tests.sources.listings import failure, listed, write_csv, write_parquet


def extra(folder, column):
    """Return the column as an extra of a Parquet listing."""
    names = ["a.jpg", "b.jpg", "c.jpg"][: len(column)]
    return listed(write_parquet(folder, path=names, x=column)).items["x"]


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (pa.array([1, 0, 1], pa.uint8()), [1, 0, 1]),
        (pa.array([True, False, True]), [1, 0, 1]),
        (pa.array(["z", "a", "z"]).dictionary_encode(), [1, 0, 1]),
        (pa.array(["\uffff", "é", "😀"]), [1, 0, 2]),
    ],
)
def test_class_labels(folder, label, expected):
    listing = listed(write_parquet(folder, path=["a.jpg", "b.jpg", "c.jpg"], label=label))
    assert listing.items["label"].to_pylist() == expected
    assert listing.label_kind is LabelKind.CLASS
    assert listing.items.schema.field("label").equals(pa.field("label", pa.int64(), nullable=False))


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (pa.array([0.5, 2.0]), [[0.5], [2.0]]),
        (pa.array([[1, 2], [3, 4]]), [[1.0, 2.0], [3.0, 4.0]]),
        (pa.array([[1.5, 2], [3, 4]], pa.list_(pa.float32(), 2)), [[1.5, 2.0], [3.0, 4.0]]),
        (pa.array([[True, False], [False, True]]), [[1.0, 0.0], [0.0, 1.0]]),
    ],
)
def test_float_labels(folder, label, expected):
    listing = listed(write_parquet(folder, path=["a.jpg", "b.jpg"], label=label))
    assert listing.items["label"].to_pylist() == expected
    assert listing.items["label"].type == pa.large_list(pa.float32())
    assert listing.label_kind is LabelKind.FLOATS


@pytest.mark.parametrize(
    ("label", "problem"),
    [
        (pa.array([1, None, None]), "no label in column 'label' of 2 of 3 rows: row 2, row 3"),
        (pa.array([0, -1, 2]), "a negative class id in column 'label' of 1 of 3 rows: row 2"),
        (pa.array([0, 2**31 - 1, 2**31]), "a class id above 2,147,483,647 in column 'label' of 1 of 3 rows: row 3"),
        (pa.array([0, 2**62, 2]), "a class id above 2,147,483,647 in column 'label' of 1 of 3 rows: row 2"),
        (pa.array([0.0, 1.0, float("nan")]), "not a finite 32-bit float in column 'label' of 1 of 3 rows: row 3"),
        (pa.array([0.0, 1e300, 1.0]), "not a finite 32-bit float"),
        (pa.array([[1.0], [1.0, 2.0], [1.0]]), "other than the 1 of the first row"),
        (pa.array([[1.0, None], [1.0, 2.0], [1.0, 2.0]]), "not a finite 32-bit float"),
        (pa.array([[], [], []], pa.list_(pa.int64())), "an empty list"),
        (pa.array([["a"], ["b"], ["c"]]), "expected text, integers, floats"),
        (pa.array([b"a", b"b", b"c"]), "expected text, integers, floats"),
    ],
)
def test_bad_labels_are_located(folder, label, problem):
    assert problem in failure(write_parquet(folder, path=["a.jpg", "b.jpg", "c.jpg"], label=label))


def test_labels_that_are_all_missing_are_no_labels(folder):
    listing = listed(write_csv(folder, "path,label\na.jpg,\nb.jpg,\n"))
    assert listing.label_kind is LabelKind.NONE
    assert listing.items.column_names == ["key", "num_bytes"]
    assert "line 3" in failure(write_csv(folder, "path,label\na.jpg,cat\nb.jpg,\n"))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "-2"], [1, -2]),
        (["1", "2.5"], [1.0, 2.5]),
        (["1", ""], [1, None]),
        (["1", "x"], ["1", "x"]),
        (["01", "2"], ["01", "2"]),
        (["0x10", "1"], ["0x10", "1"]),
        (["98765432109876543210", "1"], ["98765432109876543210", "1"]),
        (["True", "false"], [1, 0]),
        (["NA", "null"], ["NA", "null"]),
        (["2024-01-01", "2024-01-02"], ["2024-01-01", "2024-01-02"]),
        (["", ""], [None, None]),
    ],
)
def test_csv_values_get_the_narrowest_type_that_loses_nothing(folder, values, expected):
    path = write_csv(folder, f"path,x\na.jpg,{values[0]}\nb.jpg,{values[1]}\n")
    found = listed(path).items["x"].to_pylist()
    assert found == expected
    assert [type(value) for value in found] == [type(value) for value in expected]


def write_labels(folder, labels, name="list.csv"):
    for index in range(len(labels)):
        (folder / f"{index:02d}.jpg").touch()
    mark = "\t" if name.endswith(".tsv") else ","
    rows = [f'{index:02d}.jpg{mark}"{label}"' for index, label in enumerate(labels)]
    return write_csv(folder, "\n".join([f"path{mark}label", *rows]) + "\n", name)


@pytest.mark.parametrize("odd", ["NA", "?", "None", "unknown", "7a", "0x7", "true", "007", "98765432109876543210"])
@pytest.mark.parametrize("name", ["list.csv", "list.tsv"])
def test_one_name_among_class_ids_is_refused(folder, odd, name):
    path = write_labels(folder, [*map(str, range(12)), odd], name)
    text = failure(path)
    assert f"expected numbers or names in column 'label', got 12 of those and 1 of these: {odd!r} (line 14);" in text
    assert "`class_map`" in text


@pytest.mark.parametrize(
    ("labels", "shown"),
    [
        (["cat", "dog", "7", "cow"], "'7' (line 4);"),
        (["1", "2", "2a", "2b", "2c", "2d", "2e"], "'1' (line 2), '2' (line 3);"),
        (["0.5", "1.5", "NA"], "'NA' (line 4);"),
        (["1", "x", "2", "y", "z", "3", "w", "4"], "'x' (line 3), 'y' (line 5), 'z' (line 6), ...;"),
        (["1", "02", "3"], "'02' (line 3);"),
    ],
)
def test_the_fewer_of_numbers_and_names_are_shown(folder, labels, shown):
    assert shown in failure(write_labels(folder, labels))


@pytest.mark.parametrize("blank", ["", " ", "\t ", "\u00a0"])
def test_blank_labels_are_missing(folder, blank):
    for labels in (["1", "2", blank], ["cat", "dog", blank]):
        assert "no label in column 'label' of 1 of 3 rows: line 4" in failure(write_labels(folder, labels))
    assert listed(write_labels(folder, [blank, blank])).label_kind is LabelKind.NONE


def test_whitespace_around_labels_does_not_count(folder):
    listing = listed(write_labels(folder, ["cat", " cat", "cat ", "big cat\t"]))
    assert (listing.class_names, listing.items["label"].to_pylist()) == (("big cat", "cat"), [1, 1, 1, 0])
    assert listed(write_labels(folder, [" 10", "9 "])).items["label"].to_pylist() == [10, 9]


@pytest.mark.parametrize("labels", [["007", "008"], ["01", "09", "10", "12"], ["a1", "1b", "c"]])
def test_numerals_of_one_length_are_names(folder, labels):
    assert listed(write_labels(folder, labels)).class_names == tuple(sorted(labels))


def test_text_of_typed_listings_is_as_it_stands(folder):
    labels = ["1", "x ", " "]
    path = write_parquet(folder, path=["a.jpg", "b.jpg", "c.jpg"], label=labels)
    assert listed(path).class_names == (" ", "1", "x ")


def test_csv_true_and_false_labels_are_names(folder):
    assert listed(write_csv(folder, "path,label\na.jpg,true\nb.jpg,false\n")).class_names == ("false", "true")


@pytest.mark.parametrize(
    ("column", "kind", "expected"),
    [
        (pa.array([True, None]), "int64", [1, None]),
        (pa.array([1, 2], pa.uint16()), "int64", [1, 2]),
        (pa.array([1.5], pa.float32()), "double", [1.5]),
        (pa.array([Decimal("1.50")]), "double", [1.5]),
        (pa.array(["x", None]).dictionary_encode(), "large_string", ["x", None]),
        (pa.array([b"x"]), "large_binary", [b"x"]),
        (pa.array([[1], [], None], pa.list_(pa.int8())), "large_list<item: int64>", [[1], [], None]),
        (pa.array([[1.5, 2.5]], pa.list_(pa.float32(), 2)), "large_list<item: double>", [[1.5, 2.5]]),
        (pa.array([["x"]]), "large_list<item: large_string>", [["x"]]),
        (pa.array([date(2024, 1, 2)]), "large_string", ["2024-01-02"]),
        (pa.array([datetime(2024, 1, 2, 3)], pa.timestamp("s")), "large_string", ["2024-01-02 03:00:00.000"]),
        (pa.array([None]), "large_string", [None]),
        (pa.array([{"b": 1, "a": [2]}, None]), "large_string", ['{"a":[2],"b":1}', None]),
        (pa.array([[[1, 2], [3]]]), "large_string", ["[[1,2],[3]]"]),
    ],
)
def test_extra_columns_become_plain(folder, column, kind, expected):
    found = extra(folder, column)
    assert str(found.type) == kind
    assert found.to_pylist() == expected


def test_extra_values_that_do_not_fit_are_refused(folder):
    text = failure(write_parquet(folder, path=["a.jpg"], x=pa.array([2**63], pa.uint64())))
    assert "column 'x' holds uint64" in text
    text = failure(write_parquet(folder, path=["a.jpg", "b.jpg"], x=[[1], [1, None]]))
    assert "a list with a missing element in column 'x' of 1 of 2 rows: row 2" in text
    text = failure(write_parquet(folder, path=["a.jpg", "b.jpg"], x=[None, 1e300]))
    assert "beyond 32-bit floats, as which shards hold numbers, in column 'x' of 1 of 2 rows: row 2" in text
    text = failure(write_parquet(folder, path=["a.jpg", "b.jpg"], x=[[1.5], [2, -1e300]]))
    assert "beyond 32-bit floats, as which shards hold numbers, in column 'x' of 1 of 2 rows: row 2" in text


def test_several_label_columns_make_a_vector(folder):
    path = write_csv(folder, "path,x,y,flag\na.jpg,1,0.5,true\nb.jpg,2,-3,false\n")
    listing = listed(path, label_column="y, x,flag")
    assert listing.items["label"].to_pylist() == [[0.5, 1.0, 1.0], [-3.0, 2.0, 0.0]]
    assert listing.items.column_names == ["key", "num_bytes", "label"]
    assert listing.label_kind is LabelKind.FLOATS
    assert "no column 'z'" in failure(path, label_column="x,z")
    assert "each column once" in failure(path, label_column="x,x")


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (["1", "cat"], "label column 'y' holds large_string; expected numbers"),
        (["1", ""], "no label in column 'y' of 1 of 2 rows: line 3"),
        (["1", "nan"], "not a finite 32-bit float in column 'x,y' of 1 of 2 rows: line 3"),
    ],
)
def test_bad_vectors_of_columns(folder, values, problem):
    path = write_csv(folder, f"path,x,y\na.jpg,1,{values[0]}\nb.jpg,2,{values[1]}\n")
    assert problem in failure(path, label_column="x,y")


def test_a_column_whose_name_has_a_comma(folder):
    path = write_csv(folder, 'path,"x,y",x,y\na.jpg,3,1,2\n')
    assert listed(path, label_column="x,y").items.to_pylist() == [
        {"key": "a.jpg", "num_bytes": 1, "label": 3, "x": 1, "y": 2}
    ]


@pytest.mark.parametrize("size", [60_000, 70_000])
def test_columns_of_whole_images_are_left_out(folder, size):
    blobs = [bytes([index]) * size for index in range(2)]
    nested = [{"bytes": blob, "path": "x"} for blob in blobs]
    path = write_parquet(folder, path=["a.jpg", "b.jpg"], thumb=blobs, photo=nested, n=[1, 2])
    listing = listed(path)
    assert listing.items["n"].to_pylist() == [1, 2]
    assert ("thumb" in listing.items.column_names, "photo" in listing.items.column_names) == (size == 60_000,) * 2
    if size == 60_000:
        assert listing.items["thumb"].to_pylist() == blobs
        assert listing.notices == ()
    else:
        assert listing.notices == tuple(
            f"column {name!r} left out: more than 64 KB a row, too much for an extra column"
            for name in ("photo", "thumb")
        )


def test_names_kept_for_the_data_set(folder):
    assert "the column name 'is_fill' is kept" in failure(write_csv(folder, "path,is_fill,shard\na.jpg,1,2\n"))
    listing = listed(write_csv(folder, "path,_archive,__index__\na.jpg,x,2\n"))
    assert listing.items.column_names == ["key", "num_bytes"]
    assert "'_archive' left out" in listing.notices[0]
