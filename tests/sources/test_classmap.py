import json

import pytest

from packer.errors import SourceError
from packer.sources.classmap import load_class_map
from packer.sources.items import LabelKind
from tests.sources.listings import failure, listed, write_csv, write_parquet
from tests.sources.packed import write_zip


@pytest.fixture
def tree(tmp_path):
    """Class folders `cat` and `dog`."""
    for name in ("tree/cat/1.jpg", "tree/dog/2.jpg"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    return tmp_path / "tree"


def class_map(folder, text, name="map.csv"):
    return str(write_csv(folder, text, name))


@pytest.mark.parametrize(
    ("name", "text", "ids", "names"),
    [
        ("m.json", '{"cat": 3, "dog": 1}', {"cat": 3, "dog": 1}, ("", "dog", "", "cat")),
        ("m.json", '["dog", "cat"]', {"dog": 0, "cat": 1}, ("dog", "cat")),
        ("m.JSON", '{"0": ["n01", "tench"], "1": ["n02", "shark"]}', {"n01": 0, "n02": 1}, ("tench", "shark")),
        ("m.csv", "dog\ncat\n\n", {"dog": 0, "cat": 1}, ("dog", "cat")),
        ("m.csv", "big cat , 1\r\ndog,0", {"big cat": 1, "dog": 0}, ("dog", "big cat")),
        ("m.csv", "name,id\ncat,0\n", {"cat": 0}, ("cat",)),
        ("m.txt", "\ufeffcat\n", {"cat": 0}, ("cat",)),
        (
            "m.txt",
            "n01440764 tench, Tinca tinca\nn01443537 goldfish\n",
            {"n01440764": 0, "n01443537": 1},
            ("tench, Tinca tinca", "goldfish"),
        ),
        ("m.csv", "n01440764,tench\n", {"n01440764": 0}, ("tench",)),
        ("m.csv", "n01440764,0\n", {"n01440764": 0}, ("n01440764",)),
    ],
)
def test_forms(tmp_path, name, text, ids, names):
    found = load_class_map(class_map(tmp_path, text, name))
    assert (found.ids, found.class_names) == (ids, names)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("m.json", "{", "not JSON"),
        ("m.json", "3", "expected a JSON object"),
        ("m.json", '["a", 1]', "expected a JSON object"),
        ("m.json", '{"a": "1"}', "expected a whole number as the id of 'a'"),
        ("m.json", '{"a": true}', "expected a whole number"),
        ("m.json", '{"a": 1.5}', "expected a whole number"),
        ("m.json", "{}", "nothing in it"),
        ("m.csv", "\n", "nothing in it"),
        ("m.csv", "cat,-1\n", "expected an id from 0 to 1,000,000, got -1 for 'cat'"),
        ("m.csv", "cat,1000001\n", "expected an id from 0"),
        ("m.csv", "cat,1\ndog\n", "expected NAME,ID on every line or on none, got 'dog'"),
        ("m.csv", "cat,1\ndog,1\n", "once, got 'dog' or 1 again"),
        ("m.csv", "cat\ncat\n", "once, got 'cat'"),
        ("m.csv", b"\xe4", "cannot be read"),
    ],
)
def test_bad_maps(tmp_path, name, text, problem):
    path = class_map(tmp_path, text, name)
    with pytest.raises(SourceError, match="`class_map`") as caught:
        load_class_map(path)
    assert problem in str(caught.value)
    assert path in str(caught.value)


def test_folders_get_the_ids_of_the_map(tmp_path, tree):
    listing = listed(tree, class_map=class_map(tmp_path, "dog,0\nowl,1\ncat,7"))
    assert listing.items["label"].to_pylist() == [7, 0]
    assert listing.class_names == ("dog", "owl", "", "", "", "", "", "cat")
    archive = write_zip(tmp_path, ["cat/1.jpg", "dog/2.jpg"])
    assert listed(archive, class_map=class_map(tmp_path, "dog\ncat")).items["label"].to_pylist() == [1, 0]


def test_folders_that_are_not_in_the_map_are_named(tmp_path, tree):
    text = failure(tree, class_map=class_map(tmp_path, "cat\n"))
    assert "1 of 2 classes are not in it: 'dog'" in text
    assert "there are no classes" in failure(tree, class_map=class_map(tmp_path, "cat"), flat=True)
    assert "cannot be read" in failure(tree, class_map=str(tmp_path / "none"))


def test_labels_of_a_listing(folder):
    text = write_csv(folder, "path,label\na.jpg,dog\nb.jpg,cat\n")
    listing = listed(text, class_map=class_map(folder, "dog,4\ncat,2"))
    assert listing.items["label"].to_pylist() == [4, 2]
    assert listing.class_names == ("", "", "cat", "", "dog")
    assert "'cat'" in failure(text, class_map=class_map(folder, "dog"))
    numbers = write_csv(folder, "path,label\na.jpg,1\nb.jpg,0\n")
    listing = listed(numbers, class_map=class_map(folder, "dog\ncat"))
    assert (listing.items["label"].to_pylist(), listing.class_names) == ([1, 0], ("dog", "cat"))
    assert listing.label_kind is LabelKind.CLASS
    assert "1 ids of" in failure(numbers, class_map=class_map(folder, "dog"))
    floats = write_csv(folder, "path,label\na.jpg,1.5\nb.jpg,0\n")
    assert "expected class labels" in failure(floats, class_map=class_map(folder, "dog"))
    assert "kind 'none'" in failure(write_csv(folder, "path\na.jpg\n"), class_map=class_map(folder, "dog"))


@pytest.fixture
def numerals(folder):
    """A class map as torchvision's class_to_idx has it for folders `0` to `11`."""
    names = sorted(map(str, range(12)))
    return class_map(folder, json.dumps({name: index for index, name in enumerate(names)}), "map.json")


def test_whole_numbers_that_are_names_of_the_map_are_looked_up(folder, numerals):
    path = write_csv(folder, "path,label\na.jpg,10\nb.jpg,0\nc.jpg,2\n")
    listing = listed(path, class_map=numerals)
    assert listing.items["label"].to_pylist() == [2, 0, 4]
    assert listing.class_names[2] == "10"
    assert listing.notices == ("the labels are names in the class map, and not ids: 2 has id 4, 10 has id 2",)
    for name in ("10", "0", "2"):
        (folder / "tree" / name).mkdir(parents=True)
        (folder / f"tree/{name}/x.jpg").touch()
    assert listed(folder / "tree", class_map=numerals).items["label"].to_pylist() == [0, 2, 4]
    typed = write_parquet(folder, path=["a.jpg", "b.jpg"], label=[10, 1])
    assert listed(typed, class_map=numerals).items["label"].to_pylist() == [2, 1]
    same = class_map(folder, '{"0": 0, "2": 2, "10": 10}', "same.json")
    assert (listed(path, class_map=same).items["label"].to_pylist(), listed(path, class_map=same).notices) == (
        [10, 0, 2],
        (),
    )


def test_whole_numbers_of_which_some_are_names_of_the_map(folder, numerals):
    path = write_csv(folder, "path,label\na.jpg,10\nb.jpg,13\nc.jpg,12\n")
    text = failure(path, class_map=numerals)
    assert "are names in it, so all of them are names; 2 are not in it: 12, 13; add them" in text


def test_names_of_which_some_are_numerals_take_the_ids_of_the_map(folder):
    path = write_csv(folder, "path,label\na.jpg,2a\nb.jpg,1\nc.jpg,2 \n")
    assert "`class_map`" in failure(path)
    listing = listed(path, class_map=class_map(folder, "1,7\n2,3\n2a,5\n"))
    assert listing.items["label"].to_pylist() == [5, 7, 3]
    assert "1 of 3 classes are not in it: '2a'" in failure(path, class_map=class_map(folder, "1,7\n2,3\n"))
