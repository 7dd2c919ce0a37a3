import pytest

from packer.sources.items import LabelKind
from tests.sources.listings import failure, listed, write_jsonl

NAMES = {"a.jpg": "cat", "b.jpg": "dog", "c.jpg": "cat"}
IDS = {"cat": 0, "dog": 2}


def rows(**changes):
    """Return what Ground Truth writes for classes of images."""
    return [
        {"source-ref": path, "animal": IDS[name], "animal-metadata": {"class-name": name, "confidence": 0.5}} | changes
        for path, name in NAMES.items()
    ]


@pytest.mark.parametrize("name", ["output.manifest", "output.jsonl"])
def test_classes_of_ground_truth(folder, name):
    path = write_jsonl(folder, rows(worker="w"), name)
    listing = listed(path, label_column="animal")
    assert listing.items.to_pylist()[1] == {"key": "b.jpg", "num_bytes": 2, "label": 2, "worker": "w"}
    assert listing.class_names == ("cat", "", "dog")
    assert listing.notices == ("column 'animal-metadata' left out: metadata of Ground Truth",)


def test_an_unnamed_label_is_pointed_out(folder):
    listing = listed(write_jsonl(folder, rows(), "x.manifest"))
    assert listing.label_kind is LabelKind.NONE
    assert "no labels: name an attribute such as 'animal' with `label_column` for labels" in listing.notices


def test_paths_may_be_uris_of_files(folder):
    path = write_jsonl(folder, [{"source-ref": f"file://{folder}/a.jpg"}], "x.manifest")
    assert listed(path).items["key"].to_pylist() == ["a.jpg"]
    text = failure(write_jsonl(folder, [*rows(), {"source-ref": "s3://bucket/d.jpg", "animal": 1}], "x.manifest"))
    assert "'s3://bucket/d.jpg' (line 4) is a URI of another store; " in text
    assert "give `root=s3://bucket`: paths start from" in text


def test_other_references(folder):
    masks = [{"source-ref": "a.jpg", "mask-ref": "a.png", "mask-ref-metadata": {"x": 1}}]
    listing = listed(write_jsonl(folder, masks, "x.manifest"))
    assert listing.items.to_pylist() == [{"key": "a.jpg", "num_bytes": 1, "mask-ref": "a.png"}]
    assert listing.notices == ("column 'mask-ref-metadata' left out: metadata of Ground Truth",)
    assert listed(write_jsonl(folder, [{"picture-ref": "a.jpg"}], "x.manifest")).items.num_rows == 1
    two = write_jsonl(folder, [{"x-ref": "a.jpg", "y-ref": "b.jpg"}], "x.manifest")
    assert "'x-ref', 'y-ref' look like references; name one with `key_column`" in failure(two)
    assert listed(two, key_column="y-ref").items["key"].to_pylist() == ["b.jpg"]


def test_metadata_without_its_label_stays(folder):
    listing = listed(write_jsonl(folder, [{"source-ref": "a.jpg", "x-metadata": {"y": 1}}], "x.manifest"))
    assert listing.items["x-metadata"].to_pylist() == ['{"y":1}']
    assert listing.notices == ()


def test_text_and_vector_labels(folder):
    listing = listed(write_jsonl(folder, rows(animal="x"), "x.manifest"), label_column="animal")
    assert listing.class_names == ("x",)
    listing = listed(write_jsonl(folder, rows(animal=[1, 0.5]), "x.manifest"), label_column="animal")
    assert listing.label_kind is LabelKind.FLOATS


def test_classes_of_two_names_are_refused(folder):
    two = [*rows()[:2], {"source-ref": "c.jpg", "animal": 0, "animal-metadata": {"class-name": "lynx"}}]
    text = failure(write_jsonl(folder, two, "x.manifest"), label_column="animal")
    assert "expected one name for each id" in text
    assert "'lynx'" in text
    same = [{**row, "animal": index} for index, row in enumerate(rows())]
    assert "expected one name" in failure(write_jsonl(folder, same, "x.manifest"), label_column="animal")
    huge = [{"source-ref": "a.jpg", "animal": 10**9, "animal-metadata": {"class-name": "lynx"}}]
    assert "up to 1,000,000" in failure(write_jsonl(folder, huge, "x.manifest"), label_column="animal")


def test_names_that_are_missing_are_no_names(folder):
    bare = [{"source-ref": "a.jpg", "animal": 1, "animal-metadata": {"class-name": None, "type": "t"}}]
    assert listed(write_jsonl(folder, bare, "x.manifest"), label_column="animal").class_names == ()
    bare = [{"source-ref": "a.jpg", "animal": 1, "animal-metadata": {"type": "t"}}]
    assert listed(write_jsonl(folder, bare, "x.manifest"), label_column="animal").class_names == ()
