import itertools
import os
import shutil
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from packer.errors import SourceError
from packer.sources.image_names import IMAGE_SUFFIXES
from packer.sources.items import LabelKind, SourceSpec
from packer.sources.open_source import list_source


def put(root, *names, content=b"12345"):
    for name in names:
        path = Path(root) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def listed(root, **options):
    return list_source(SourceSpec(source=str(root), **options))


def keys(listing):
    return listing.items["key"].to_pylist()


def failure(folder, **options):
    with pytest.raises(SourceError) as caught:
        list_source(SourceSpec(source=str(folder), **options))
    text = str(caught.value)
    assert "\n" not in text
    assert caught.value.exit_code == 2
    return text


def test_class_folders_give_ids_by_sorted_name(tmp_path):
    put(tmp_path, "dog/1.jpg", "cat/sub/deep/2.png", "Zebra/3.JPEG", "cat/1.jpg")
    listing = listed(tmp_path)
    assert listing.class_names == ("Zebra", "cat", "dog")
    assert listing.label_kind is LabelKind.CLASS
    assert listing.root == str(tmp_path)
    assert listing.items.to_pylist() == [
        {"key": "Zebra/3.JPEG", "num_bytes": 5, "label": 0},
        {"key": "cat/1.jpg", "num_bytes": 5, "label": 1},
        {"key": "cat/sub/deep/2.png", "num_bytes": 5, "label": 1},
        {"key": "dog/1.jpg", "num_bytes": 5, "label": 2},
    ]
    assert listing.notices == ()


def test_types_are_the_canonical_ones(tmp_path):
    put(tmp_path, "a/1.jpg")
    assert listed(tmp_path).items.schema.equals(
        pa.schema(
            [
                pa.field("key", pa.large_string(), nullable=False),
                pa.field("num_bytes", pa.int64(), nullable=False),
                pa.field("label", pa.int64(), nullable=False),
            ]
        )
    )


def test_flat_folder_has_no_labels(tmp_path):
    put(tmp_path, "b.jpg", "a.jpg")
    listing = listed(tmp_path)
    assert keys(listing) == ["a.jpg", "b.jpg"]
    assert listing.items.column_names == ["key", "num_bytes"]
    assert (listing.label_kind, listing.class_names) == (LabelKind.NONE, ())


def test_flat_option_takes_every_folder_without_labels(tmp_path):
    put(tmp_path, "b/1.jpg", "a.jpg", "b/c/2.jpg")
    listing = listed(tmp_path, flat=True)
    assert keys(listing) == ["a.jpg", "b/1.jpg", "b/c/2.jpg"]
    assert listing.label_kind is LabelKind.NONE


def test_images_beside_class_folders_are_refused(tmp_path):
    put(tmp_path, "cat/1.jpg", "stray.jpg")
    text = failure(tmp_path)
    assert "'stray.jpg'" in text
    assert "`flat=True`" in text


def test_other_files_beside_class_folders_are_only_noted(tmp_path):
    put(tmp_path, "cat/1.jpg", "README.txt", "labels.csv", "cat/notes.TXT", "cat/jpg")
    listing = listed(tmp_path)
    assert keys(listing) == ["cat/1.jpg"]
    assert listing.notices == ("skipped 4 files not named as images: 2 .txt, 1 .csv, 1 without a suffix",)


def test_hidden_and_system_entries_are_skipped_with_a_notice(tmp_path):
    put(tmp_path, "cat/1.jpg", "cat/._1.jpg", ".git/x.jpg", "__MACOSX/cat/1.jpg", "cat/Thumbs.db")
    listing = listed(tmp_path)
    assert keys(listing) == ["cat/1.jpg"]
    assert listing.class_names == ("cat",)
    assert listing.notices == ("skipped 4 hidden or system entries",)


@pytest.mark.parametrize(
    "name", ["lost+found", "@eaDir", "#recycle", "$RECYCLE.BIN", "$Recycle.Bin", "System Volume Information"]
)
def test_folders_of_file_systems_are_no_classes(tmp_path, name):
    put(tmp_path, "cat/1.jpg", f"{name}/2.jpg", f"cat/{name}/1.jpg/thumb.jpg")
    listing = listed(tmp_path)
    assert (keys(listing), listing.class_names) == (["cat/1.jpg"], ("cat",))
    assert listing.notices == ("skipped 2 hidden or system entries",)


def test_empty_files_are_items(tmp_path):
    put(tmp_path, "a.jpg", content=b"")
    assert listed(tmp_path).items.to_pylist() == [{"key": "a.jpg", "num_bytes": 0}]


@pytest.mark.parametrize("suffix", sorted(IMAGE_SUFFIXES))
def test_suffixes_are_taken_in_any_case(tmp_path, suffix):
    put(tmp_path, f"a{suffix}", f"b{suffix.upper()}")
    assert listed(tmp_path).items.num_rows == 2


def test_class_folder_without_images_keeps_its_id(tmp_path):
    put(tmp_path, "a/readme.md", "b/1.jpg")
    listing = listed(tmp_path)
    assert listing.class_names == ("a", "b")
    assert listing.items["label"].to_pylist() == [1]
    assert "1 class folder without images: 'a'" in listing.notices


@pytest.mark.parametrize(
    ("names", "given"),
    [
        (["Train_Set/1.jpg", "extra/2.jpg", "test-images/3.jpg"], "Train_Set"),
        (["train/cat/1.jpg", "annotations/x.json"], "train"),
    ],
)
def test_folders_named_like_splits_are_pointed_out(tmp_path, names, given):
    put(tmp_path, *names)
    (notice,) = [notice for notice in listed(tmp_path).notices if "look like splits" in notice]
    assert f"give one of them: 'SOURCE/{given}'" in notice
    assert listed(tmp_path, flat=True).notices == tuple(n for n in listed(tmp_path).notices if n.startswith("skipped"))


@pytest.mark.parametrize("names", [["train/1.jpg", "bus/1.jpg"], ["values/1.jpg", "testers/1.jpg"]])
def test_classes_that_are_no_splits(tmp_path, names):
    put(tmp_path, *names)
    assert listed(tmp_path).notices == ()


@pytest.mark.parametrize(
    ("names", "wrapper"),
    [
        (["PetImages/Cat/1.jpg", "PetImages/Dog/1.jpg"], "PetImages"),
        (["PetImages/Cat/1.jpg", "PetImages/Cow/1.jpg", "labels/x.csv"], "PetImages"),
        (["a/b c/Cat/1.jpg", "a/b c/Dog/1.jpg"], "a/b c"),
        (["cat/1.jpg", "cat/more/2.jpg", "cat/most/3.jpg"], None),
        (["cat/2024/1.jpg", "cat/2024/2.jpg"], None),
        (["cat/x/1.jpg", "dog/y/2.jpg"], None),
    ],
)
def test_one_folder_around_the_class_folders_is_pointed_out(tmp_path, names, wrapper):
    put(tmp_path, *names)
    notices = [notice for notice in listed(tmp_path).notices if "there is one class" in notice]
    assert len(notices) == bool(wrapper)
    if wrapper:
        assert f"lie in folders of {wrapper!r}" in notices[0]
        assert f"give 'SOURCE/{wrapper}'" in notices[0]
        assert len(listed(tmp_path / wrapper).class_names) == 2


def test_links_are_followed(tmp_path):
    put(tmp_path / "elsewhere", "real.jpg", "more/2.jpg", content=b"123")
    put(tmp_path / "set", "cat/1.jpg")
    (tmp_path / "set/cat/link.jpg").symlink_to(tmp_path / "elsewhere/real.jpg")
    (tmp_path / "set/dog").symlink_to(tmp_path / "elsewhere/more")
    listing = listed(tmp_path / "set")
    assert keys(listing) == ["cat/1.jpg", "cat/link.jpg", "dog/2.jpg"]
    assert listing.items["num_bytes"].to_pylist() == [5, 3, 3]


def test_links_back_to_a_folder_above_end_with_a_notice(tmp_path):
    put(tmp_path, "a/1.jpg", "b/2.jpg")
    (tmp_path / "a/up").symlink_to(tmp_path)
    (tmp_path / "a/self").symlink_to(tmp_path / "a")
    (tmp_path / "b/across").symlink_to(tmp_path / "a")
    listing = listed(tmp_path)
    assert keys(listing) == ["a/1.jpg", "b/2.jpg", "b/across/1.jpg"]
    assert listing.notices == ("skipped 4 folder links back to a folder above: 'a/self', 'a/up', 'b/across/self', ...",)


@pytest.mark.parametrize("name", ["cat/gone.jpg", "gone_class"])
def test_broken_links_are_refused(tmp_path, name):
    put(tmp_path, "cat/1.jpg")
    (tmp_path / name).symlink_to("/nowhere/at/all")
    text = failure(tmp_path)
    assert repr(str(tmp_path / name)) in text
    assert "'/nowhere/at/all'" in text


def test_link_to_itself_is_refused(tmp_path):
    put(tmp_path, "1.jpg")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    assert "loop.jpg" in failure(tmp_path)


@pytest.fixture
def unprivileged():
    """A folder in which the tests run without the rights of root."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield folder
    os.seteuid(user)
    for path in folder.rglob("*"):
        if path.is_dir():
            path.chmod(0o777)
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", ["locked", "cat/locked"])
@pytest.mark.parametrize("mode", [0o000, 0o444])
def test_unreadable_folder_is_refused(unprivileged, name, mode):
    put(unprivileged, "cat/1.jpg", f"{name}/2.jpg")
    locked = unprivileged / name
    locked.chmod(mode)
    try:
        text = failure(unprivileged)
    finally:
        locked.chmod(0o777)
    assert str(locked) in text
    assert "Permission denied" in text


def test_unreadable_system_folder_is_passed_over(unprivileged):
    put(unprivileged, "cat/1.jpg", "lost+found/2.jpg")
    locked = unprivileged / "lost+found"
    locked.chmod(0)
    try:
        listing = listed(unprivileged)
    finally:
        locked.chmod(0o777)
    assert (keys(listing), listing.notices) == (["cat/1.jpg"], ("skipped 1 hidden or system entry",))


def test_name_that_is_not_utf8_is_refused(tmp_path):
    put(tmp_path, "good.jpg")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xe4d.jpg")).write_bytes(b"1")
    text = failure(tmp_path)
    assert r"b'b\xe4d.jpg'" in text
    assert "rename" in text
    text.encode()


def test_class_name_that_is_not_utf8_is_refused(tmp_path):
    put(tmp_path, "good/1.jpg")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xe4d")).mkdir()
    assert r"b'b\xe4d'" in failure(tmp_path)


def test_unusual_names_are_kept(tmp_path):
    names = ["äß/日本.jpg", "äß/a b%20&?.jpg", "äß/new\nline.jpg", "äß/back\\slash.jpg"]
    put(tmp_path, *names)
    assert keys(listed(tmp_path)) == sorted(names)


def test_nothing_in_it(tmp_path):
    assert "nothing in it" in failure(tmp_path)
    put(tmp_path, "a.txt")
    assert "1 .txt" in failure(tmp_path)
    put(tmp_path, "cat/a.txt")
    assert "nothing in it" in failure(tmp_path)


@pytest.mark.parametrize("option", ["label_column", "key_column", "root"])
def test_options_of_a_listing_are_refused(tmp_path, option):
    put(tmp_path, "a.jpg")
    assert f"`{option}`: expected with a listing" in failure(tmp_path, **{option: "x"})


def test_deep_trees_and_many_files_in_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr("packer.sources.scan._CHUNK_ROWS", 3)
    names = [f"{'abc'[i % 3]}/{'d/' * i}{i}.jpg" for i in range(40)]
    put(tmp_path, *names)
    listing = listed(tmp_path)
    assert keys(listing) == sorted(names)
    assert listing.items["label"].to_pylist() == ["abc".index(name[0]) for name in sorted(names)]
    assert listing.items["key"].num_chunks == 1


parts = st.text(st.sampled_from("ab.é-Z/😀\uffff"), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None)
@given(names=st.sets(parts, min_size=2, max_size=12), data=st.data())
def test_order_on_disk_does_not_matter(names, data):
    tables = []
    clean = sorted(
        {"/".join(part for part in name.split("/") if part and not part.startswith(".")) for name in names} - {""}
    )
    assume(clean)
    for order in (clean, data.draw(st.permutations(clean))):
        with tempfile.TemporaryDirectory() as folder:
            put(folder, *(f"root/{name}.d/x.jpg" for name in order))
            tables.append(listed(f"{folder}/root", flat=True).items)
    assert tables[0].equals(tables[1])
    found = tables[0]["key"].to_pylist()
    assert found == sorted(found, key=str.encode)


@pytest.mark.parametrize("num_steps", [15, 24])
def test_a_ladder_of_links_is_refused_soon(tmp_path: Path, num_steps: int) -> None:
    """Each folder holds two links to the next one, so 2**24 ways lead to the last of 24."""
    steps = [tmp_path / f"steps/{number:02}" for number in range(num_steps)]
    for step, after in itertools.pairwise(steps):
        step.mkdir(parents=True)
        for link in ("a", "b"):
            (step / link).symlink_to(after)
    steps[-1].mkdir()
    (steps[-1] / "x.jpg").touch()
    source = tmp_path / "source"
    source.mkdir()
    (source / "cat").symlink_to(steps[0])
    # Linux follows 40 links in a path, and counts those twice that it follows again since something changed meanwhile.
    own = ("Too many levels of symbolic links",) if num_steps > 20 else ()
    assert any(text in failure(source) for text in ("more than 1,000 ways", *own))


def test_a_folder_that_two_links_lead_to_is_read_twice(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/x.jpg").touch()
    for name in ("cat", "dog"):
        (tmp_path / "source" / name).mkdir(parents=True)
        (tmp_path / "source" / name / "more").symlink_to(tmp_path / "shared")
    assert listed(tmp_path / "source").items["key"].to_pylist() == ["cat/more/x.jpg", "dog/more/x.jpg"]
