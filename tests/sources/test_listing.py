import gzip
import os
import tempfile
import uuid
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packer.sources.items import LabelKind
from packer.stores.fsspec_store import RemoteStore
from tests.sources.listings import failure, listed, write_csv, write_jsonl, write_parquet


def test_csv_with_integer_labels_and_extras(folder):
    path = write_csv(folder, "path,label,name,score,group\nsub/d.jpg,7,dee,1.5,1\na.jpg,0,NA,,2\n")
    listing = listed(path)
    assert listing.items.to_pylist() == [
        {"key": "a.jpg", "num_bytes": 1, "label": 0, "group": 2, "name": "NA", "score": None},
        {"key": "sub/d.jpg", "num_bytes": 4, "label": 7, "group": 1, "name": "dee", "score": 1.5},
    ]
    assert [str(kind) for kind in listing.items.schema.types] == [
        *("large_string", "int64", "int64", "int64", "large_string", "double")
    ]
    assert listing.label_kind is LabelKind.CLASS
    assert listing.class_names == ()
    assert listing.root == str(folder)
    assert listing.notices == ()


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".CSV"])
def test_csv_suffixes(folder, suffix):
    text = "file,label\na.jpg,cat\nb.jpg,ant\n"
    packed = gzip.compress(text.encode()) if suffix.endswith("gz") else text
    listing = listed(write_csv(folder, packed, f"list{suffix}"))
    assert listing.class_names == ("ant", "cat")
    assert listing.items["label"].to_pylist() == [1, 0]


@pytest.mark.parametrize("suffix", [".tsv", ".TSV", ".tsv.gz"])
def test_tabs_between_values(folder, suffix):
    text = 'file\tlabel\tnote\na.jpg\tcat\t"x, \ty"\nb.jpg\tant\t\n'
    path = write_csv(folder, gzip.compress(text.encode()) if suffix.endswith("gz") else text, f"list{suffix}")
    listing = listed(path)
    assert listing.class_names == ("ant", "cat")
    assert listing.items["note"].to_pylist() == ["x, \ty", None]
    if suffix == ".tsv":
        assert "'gone.jpg' (line 4)" in failure(write_csv(folder, text + "gone.jpg\tx\t\n", "list.tsv"))
        assert "line 4: expected 3 values" in failure(write_csv(folder, text + "c.jpg\tx,y\n", "list.tsv"))


@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson", ".jsonl.gz"])
def test_json_suffixes(folder, suffix):
    text = '{"image": "a.jpg", "class": "x"}\n\n{"class": "y", "image": "b.jpg"}\n'
    packed = gzip.compress(text.encode()) if suffix.endswith("gz") else text
    listing = listed(write_csv(folder, packed, f"list{suffix}"))
    assert listing.items.to_pylist() == [
        {"key": "a.jpg", "num_bytes": 1, "label": 0},
        {"key": "b.jpg", "num_bytes": 2, "label": 1},
    ]


def test_folder_of_parquet_files(folder):
    parts = folder / "parts"
    write_parquet(parts, "part-1.parquet", key=["b.jpg"], label=pa.array([1], pa.int32()))
    write_parquet(parts, "part-0.parquet", label=pa.array([2], pa.int64()), key=["a.jpg"], note=["n"])
    (parts / "_SUCCESS").touch()
    (parts / "lost+found").mkdir()
    listing = listed(parts, root=str(folder))
    assert listing.items.to_pylist() == [
        {"key": "a.jpg", "num_bytes": 1, "label": 2, "note": "n"},
        {"key": "b.jpg", "num_bytes": 2, "label": 1, "note": None},
    ]
    write_parquet(parts, "part-2.parquet", key=["c.jpg", "gone.jpg"], label=[0, 0])
    assert "'gone.jpg' (part-2.parquet row 2)" in failure(parts, root=str(folder))
    write_parquet(parts, "part-3.parquet", key=["c.jpg"], label=["text"])
    assert "disagree" in failure(parts, root=str(folder))


def test_parquet_files_below_a_remote_prefix(folder):
    place = f"memory://{uuid.uuid4().hex}"
    part = write_parquet(folder, path=["a.jpg"], label=[3]).read_bytes()
    for key in ("a.jpg", "parts/_SUCCESS", "parts/lost+found/x", "parts/.git/x"):
        RemoteStore(place).put(key, [b"1"])
    RemoteStore(place).put("parts/0.parquet", [part])
    listing = listed(f"{place}/parts", root=place)
    assert listing.items.to_pylist() == [{"key": "a.jpg", "num_bytes": 1, "label": 3, "_etag": ""}]


def test_paths_are_made_relative_to_the_root(folder):
    rows = [str(folder / "a.jpg"), "./b.jpg", "sub/../c.jpg", f"{folder}//sub/./d.jpg"]
    listing = listed(write_csv(folder, "path\n" + "\n".join(rows)))
    assert listing.items["key"].to_pylist() == ["a.jpg", "b.jpg", "c.jpg", "sub/d.jpg"]
    assert listing.label_kind is LabelKind.NONE
    uri = "file://" + str(folder / "a.jpg").replace("a", "%61")
    assert listed(write_csv(folder, f"uri\n{uri}\n")).items["key"].to_pylist() == ["a.jpg"]


def test_absolute_paths_through_a_link_to_the_root(folder, tmp_path_factory):
    link = tmp_path_factory.mktemp("links") / "set"
    link.symlink_to(folder)
    path = write_csv(folder, f"path\n{folder}/a.jpg\n{link}/b.jpg\n")
    assert listed(path, root=str(link)).items["key"].to_pylist() == ["a.jpg", "b.jpg"]


def test_root_option(folder, tmp_path_factory):
    path = write_csv(tmp_path_factory.mktemp("lists"), "path\nd.jpg\n")
    assert "`root`" in failure(path)
    listing = listed(path, root=str(folder / "sub"))
    assert (listing.root, listing.items["num_bytes"].to_pylist()) == (str(folder / "sub"), [4])
    assert "`root`" in failure(path, root=str(folder / "none"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("/etc/passwd", "is outside it"),
        ("../x.jpg", "leads out of it"),
        ("sub/../../x.jpg", "leads out of it"),
        (".", "names no file"),
        ("sub/..", "names no file"),
        ("s3://bucket/a.jpg", "is a URI of another store"),
        ("{}", "names no file"),
        ("{}x/a.jpg", "is outside it"),
        ("{}/../x.jpg", "is outside it"),
        ("file:///etc/passwd", "is outside it"),
    ],
)
def test_paths_that_leave_the_root(folder, text, problem):
    text = text.format(folder)
    found = failure(write_csv(folder, f"path\na.jpg\n{text}\n"))
    assert f"{text!r} (line 3) {problem}" in found
    assert str(folder) in found


def test_missing_files_are_counted_and_located(folder):
    rows = ["a.jpg", "gone1.jpg", "", "sub", "gone2.jpg", "a.jpg/x.jpg", "gone3.jpg"]
    text = failure(write_csv(folder, "path,n\n" + "\n".join(f"{row},1" if row else "" for row in rows)))
    assert "5 of 6 paths name no file" in text
    assert "'gone1.jpg' (line 3), 'sub' (line 5), 'gone2.jpg' (line 6), ..." in text
    assert "`root`" in text


def test_repeated_paths_are_located(folder):
    path = write_csv(folder, 'path,note\na.jpg,"two\nlines"\nb.jpg,\n./a.jpg,\na.jpg,\n')
    text = failure(path)
    assert "1 paths appear more than once: 'a.jpg' at line 2 and line 5 and line 6" in text


def test_null_path_is_located(folder):
    assert "line 3" in failure(write_csv(folder, "path,label\na.jpg,1\n,2\n"))
    assert "line 2" in failure(write_jsonl(folder, [{"path": "a.jpg"}, {"label": 1}]))
    assert "row 2" in failure(write_parquet(folder, path=["a.jpg", None]))
    assert "no path in column 'path' at line 3" in failure(write_csv(folder, 'path,label\na.jpg,1\n"",2\n'))


def test_path_column_by_name_or_option(folder):
    both = write_csv(folder, "path,file,label\na.jpg,b.jpg,1\n")
    assert "'path', 'file'" in failure(both)
    assert "`key_column`" in failure(both)
    listing = listed(both, key_column="file")
    assert listing.items.to_pylist() == [{"key": "b.jpg", "num_bytes": 2, "label": 1, "path": "a.jpg"}]
    none = write_csv(folder, "where,label\na.jpg,1\n")
    assert "'where', 'label'" in failure(none)
    assert listed(none, key_column="where").items.num_rows == 1
    assert "no column 'nope'" in failure(none, key_column="nope")
    assert listed(write_csv(folder, "Image_Path, Label\na.jpg, 3\n")).items["label"].to_pylist() == [3]


def test_label_column_by_name_or_option(folder):
    path = write_csv(folder, "path,target,class,label\na.jpg,1,2,3\n")
    assert listed(path).items.to_pylist() == [{"key": "a.jpg", "num_bytes": 1, "label": 3, "class": 2, "target": 1}]
    listing = listed(path, label_column="target")
    assert listing.items["label"].to_pylist() == [1]
    assert listing.notices == ("column 'label' left out: another column was named for it",)
    assert "`label_column`" in failure(path, label_column="nope")
    assert "'Label', 'label'" in failure(write_csv(folder, "path,Label,label\na.jpg,1,2\n"))


def test_numeric_paths_stay_text(folder):
    (folder / "007").write_bytes(b"1")
    assert listed(write_csv(folder, "path\n007\n")).items["key"].to_pylist() == ["007"]
    assert "expected paths as text" in failure(write_jsonl(folder, [{"path": 7}]))
    (folder / "2024-01-01").write_bytes(b"1")
    assert listed(write_jsonl(folder, [{"path": "2024-01-01"}])).items["key"].to_pylist() == ["2024-01-01"]


def test_a_size_column_is_not_believed(folder):
    listing = listed(write_csv(folder, "path,num_bytes,size\nb.jpg,99,98\n"))
    assert listing.items.to_pylist() == [{"key": "b.jpg", "num_bytes": 2, "size": 98}]
    assert "num_bytes" in listing.notices[0]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("path,label\na.jpg,1\nb.jpg,2,3\n", "line 3: expected 2 values as in the header, got 3"),
        ('path,label\n"a\n.jpg",1\n\nb.jpg\n', "line 5: expected 2 values as in the header, got 1"),
        (b"path,label\na.jpg,1\n\xe4.jpg,2\n", "line 3: not UTF-8"),
        ("path,x,x\na.jpg,1,2\n", "'x' more than once"),
        ("path,label\n", "nothing in it"),
        ("", "nothing in it"),
    ],
)
def test_bad_csv(folder, text, problem):
    assert problem in failure(write_csv(folder, text))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"path": "a.jpg"}\n\n{"path": \n', "line 3: expected one JSON object"),
        ('[{"path": "a.jpg"}]\n', "line 1: expected one JSON object"),
        (b'{"path": "a.jpg"}\n{"path": "\xe4.jpg"}\n', "line 2: not UTF-8"),
        (b'{"path": "a.jpg", "x": {"\xe4": 1}}\n', "line 1: not UTF-8"),
        (
            '{"path": "a.jpg", "x": 1}\n{"path": "b.jpg", "x": "1"}\n',
            "line 2: column 'x' holds text, but a number on line 1",
        ),
        ("", "nothing in it"),
    ],
)
def test_bad_json(folder, text, problem):
    assert problem in failure(write_csv(folder, text, "list.jsonl"))


def test_damaged_files(folder):
    assert "list.parquet" in failure(write_csv(folder, "no parquet", "list.parquet"))
    packed = gzip.compress(os.urandom(1000) * 100)
    assert "list.csv.gz" in failure(write_csv(folder, packed[:500], "list.csv.gz"))
    assert "list.csv.gz" in failure(write_csv(folder, "path\na.jpg\n", "list.csv.gz"))


def test_byte_order_mark_is_passed_over(folder):
    assert listed(write_csv(folder, b"\xef\xbb\xbfpath\na.jpg\n")).items.num_rows == 1
    text = failure(write_csv(folder, b"\xef\xbb\xbfpath\na.jpg\ngone.jpg\n"))
    assert "line 3" in text
    assert listed(write_csv(folder, b'\xef\xbb\xbf{"path": "a.jpg"}\n', "list.jsonl")).items.num_rows == 1


@pytest.mark.slow
def test_numbers_far_down_a_column_do_not_break_it(folder):
    names = [f"n/{index}.jpg" for index in range(3000)]
    (folder / "n").mkdir()
    for name in names:
        (folder / name).touch()
    padding = "x" * 1000
    rows = [f"{name},{padding},{index}" for index, name in enumerate(names)]
    rows[-1] = f"{names[-1]},{padding},odd"
    listing = listed(write_csv(folder, "path,padding,x\n" + "\n".join(rows)))
    assert listing.items["x"].type == pa.large_string()
    assert listing.items["x"].to_pylist()[-1] is not None


def test_flat_does_not_go_with_a_listing(folder):
    assert "`flat`: expected with a folder" in failure(write_csv(folder, "path\na.jpg\n"), flat=True)


def test_sources_that_are_none(folder):
    assert "no such file or folder" in failure(folder / "none")
    assert ".jsonl" in failure(folder / "a.jpg")


@pytest.mark.sample
@pytest.mark.skipif("SHARDPACK_SAMPLE" not in os.environ, reason="SHARDPACK_SAMPLE is unset")
def test_sample_listing():
    listing = listed(Path(os.environ["SHARDPACK_SAMPLE"]) / "labels.csv")
    assert listing.items.num_rows == 1000
    assert listing.items.column_names == ["key", "num_bytes", "label", "name", "wnid"]
    assert sorted(listing.items["label"].to_pylist()) == list(range(1000))
    assert min(listing.items["num_bytes"].to_pylist()) > 0
    assert listing.items["wnid"].type == pa.large_string()


cells = st.one_of(
    st.none(), st.integers(-5, 5), st.floats(-2, 2, width=16), st.booleans(), st.text('ab ,"\n01.', max_size=4)
)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), kinds=st.lists(cells, min_size=2, max_size=6))
def test_any_order_of_rows_gives_the_same_table(data, kinds):
    rows = [(f"{'äb/'[: index % 4]}{index}.jpg", f"c{index % 2}", value) for index, value in enumerate(kinds)]
    shuffled = data.draw(st.permutations(rows))
    with tempfile.TemporaryDirectory() as folder:
        for name, _, _ in rows:
            (Path(folder) / name).parent.mkdir(exist_ok=True)
            (Path(folder) / name).write_bytes(name.encode())
        tables = [listed(write_csv(folder, _csv_text(order))).items for order in (rows, shuffled)]
    assert tables[0].equals(tables[1])
    assert tables[0].schema.equals(tables[1].schema)
    assert tables[0].num_rows == len(rows)


def _csv_text(rows):
    lines = ["path,label,x"]
    for name, label, value in rows:
        cell = "" if value is None else '"' + str(value).replace('"', '""') + '"'
        lines.append(f"{name},{label},{cell}")
    return "\n".join(lines)


fields = st.dictionaries(
    st.sampled_from("xyz"), st.none() | st.integers(-9, 9) | st.floats(-2, 2, width=16), max_size=3
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(data=st.data(), values=st.lists(fields, min_size=2, max_size=6))
def test_any_order_of_objects_and_fields_gives_the_same_table(data, values):
    rows = [{"path": f"{index}.jpg", "label": [index, 0.5], **value} for index, value in enumerate(values)]
    shuffled = [dict(data.draw(st.permutations(list(row.items())))) for row in data.draw(st.permutations(rows))]
    with tempfile.TemporaryDirectory() as folder:
        for row in rows:
            (Path(folder) / row["path"]).touch()
        tables = [listed(write_jsonl(folder, order)).items for order in (rows, shuffled)]
    assert tables[0].equals(tables[1])
    assert tables[0].schema.equals(tables[1].schema)
