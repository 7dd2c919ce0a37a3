"""WebDataset sources: samples by the names of members, with labels, captions and columns."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from packer.errors import SourceError
from packer.sources.items import LabelKind, SourceSpec
from packer.sources.open_source import list_source
from tests.tools.datasets import pack_small, read_manifest, read_records, write_images


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return path


def listed(source, **fields):
    return list_source(SourceSpec(source=str(source), **fields))


def rows(listing):
    hidden = ("_archive", "_offset_bytes", "_stored_bytes", "_method")
    return [{name: value for name, value in row.items() if name not in hidden} for row in listing.items.to_pylist()]


def test_labels_captions_and_columns(tmp_path):
    source = write_tar(
        tmp_path / "a.tar",
        {
            "s/0001.jpg": b"one",
            "s/0001.cls": b"3\n",
            "s/0001.txt": "ein Bär".encode(),
            "s/0001.json": json.dumps({"width": 5, "tags": ["a", "b"], "box": {"x": 1}}).encode(),
            "s/0002.json": b'{"width": 6}',
            "s/0002.cls": b"0",
            "s/0002.png": b"second",
            "s/0002.seg.png": b"mask",
        },
    )

    listing = listed(source)

    assert rows(listing) == [
        {
            "key": "a.tar/s/0001.jpg",
            "num_bytes": 3,
            "label": 3,
            "box": '{"x": 1}',
            "tags": ["a", "b"],
            "txt": "ein Bär",
            "width": 5,
        },
        {
            "key": "a.tar/s/0002.png",
            "num_bytes": 6,
            "label": 0,
            "box": None,
            "tags": None,
            "txt": None,
            "width": 6,
        },
    ]
    assert listing.label_kind is LabelKind.CLASS
    assert listing.notices == ("skipped 1 member beside the images: 1 .seg.png",)
    assert listing.root == str(tmp_path)


def test_classes_by_name_and_labels_in_json(tmp_path):
    names = write_tar(tmp_path / "a.tar", {"1.jpg": b"x", "1.cls": b"dog", "2.jpg": b"x", "2.cls": b"cat"})
    listing = listed(names)
    assert (listing.class_names, listing.items["label"].to_pylist()) == (("cat", "dog"), [1, 0])

    labels = write_tar(tmp_path / "b.tar", {"1.jpg": b"x", "1.json": b'{"label": 7}'})
    assert listed(labels).items["label"].to_pylist() == [7]
    other = write_tar(tmp_path / "c.tar", {"1.jpg": b"x", "1.json": b'{"kind": 9, "label": 1}', "1.cls": b"2"})
    assert listed(other, label_column="kind").items["label"].to_pylist() == [9]


def make_shards(folder, num_shards):
    return [
        write_tar(folder / f"set-{index:04}.tar", {f"{index}.jpg": b"x" * (index + 1), f"{index}.cls": b"%d" % index})
        for index in range(num_shards)
    ]


def test_a_sequence_and_a_folder_of_archives(tmp_path):
    make_shards(tmp_path, 4)
    (tmp_path / "sizes.json").write_text("{}")
    sequence = listed(tmp_path / "set-{0001..0003}.tar")
    assert sequence.items["label"].to_pylist() == [1, 2, 3]
    assert sequence.items["key"].to_pylist()[0] == "set-0001.tar/1.jpg"
    whole = listed(tmp_path)
    assert whole.items["label"].to_pylist() == [0, 1, 2, 3]


def test_archives_of_class_folders_are_what_they_were(tmp_path):
    source = write_tar(tmp_path / "a.tar", {"cat/1.jpg": b"x", "dog/2.jpg": b"x", "dog/2.txt": b"x", "notes.txt": b"x"})
    assert listed(source).class_names == ("cat", "dog")
    assert listed(tmp_path).class_names == ("cat", "dog")


@pytest.mark.parametrize(
    ("texts", "labels", "names"),
    [
        ([b" 7\n", b"-0", b"007"], [7, 0, 7], ()),
        ([b"1_0", b"\xc2\xa0+2", b"3"], [10, 2, 3], ()),
        ([b"\xc2\xa0cat ", b"7", b"cat"], [1, 0, 1], ("7", "cat")),
    ],
)
def test_classes_as_python_reads_them(tmp_path, texts, labels, names):
    members = {
        f"{row}.{kind}": content for row, text in enumerate(texts) for kind, content in (("jpg", b"x"), ("cls", text))
    }
    made = listed(write_tar(tmp_path / "a.tar", members))
    assert made.items.column("label").to_pylist() == labels
    assert made.class_names == names


def test_names_in_json_that_members_have_too(tmp_path):
    members = {
        "1.jpg": b"x", "1.json": b'{"cls": "dog", "txt": "of JSON", "_key": "none"}',
        "2.jpg": b"x", "2.json": b'{"txt": "passed over"}', "2.cls": b"cat", "2.txt": b"own",
        "3.jpg": b"x", "3.cls": b"dog", "3.json": b"[1, 2]",
    }  # fmt: skip
    made = listed(write_tar(tmp_path / "a.tar", members))
    assert made.class_names == ("cat", "dog")
    assert [(row["label"], row["txt"], row["json"]) for row in rows(made)] == [
        (1, "of JSON", None),
        (0, "own", None),
        (1, None, [1, 2]),
    ]


def test_ids_of_classes_in_json_alone(tmp_path):
    members = {"1.jpg": b"x", "1.json": b'{"cls": 3}', "2.jpg": b"x", "2.json": b'{"cls": 4}'}
    assert listed(write_tar(tmp_path / "a.tar", members)).items.column("label").to_pylist() == [3, 4]


def test_samples_in_any_order(tmp_path):
    members = {f"{row}.{kind}": content for row in (3, 1, 2) for kind, content in (("jpg", b"x"), ("cls", b"%d" % row))}
    assert [row["key"] for row in rows(listed(write_tar(tmp_path / "a.tar", members)))] == [
        "a.tar/1.jpg",
        "a.tar/2.jpg",
        "a.tar/3.jpg",
    ]


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({"1.jpg": b"x", "1.cls": b"\xff"}, "a field beside it cannot be read"),
        ({"1.jpg": b"x", "1.json": b"{"}, "a field beside it cannot be read"),
        (
            {"1.jpg": b"x", "1.cls": b"1", "1.txt": b"a\xff"},
            r"a\.tar/1\.jpg: a field beside it cannot be read: 'utf-8'",
        ),
        ({"1.jpg": b"x", "1.cls": b"1", "2.jpg": b"x", "1.txt": b"again"}, "the sample '1' stands in two places"),
        ({"2.jpg": b"x", "2.cls": b"1", "1.txt": b"a", "2.txt": b"again"}, "the sample '2' stands in two places"),
        ({"1.jpg": b"x", "1.cls": b"1", "2.jpg": b"x"}, "no label"),
        ({"1.jpg": b"x", "1.txt": b"y" * 1_000_001}, "is larger than 1,000,000 bytes"),
    ],
)
def test_what_is_refused(tmp_path, members, problem):
    with pytest.raises(SourceError, match=problem):
        listed(write_tar(tmp_path / "a.tar", members))


def test_missing_archives_of_a_sequence_are_named(tmp_path):
    make_shards(tmp_path, 2)
    with pytest.raises(SourceError, match=r"2 of 4 archives are not there, such as set-0002\.tar"):
        listed(tmp_path / "set-{0000..0003}.tar")
    with pytest.raises(SourceError, match="expected a sequence such as"):
        listed(tmp_path / "set-{0003..0000}.tar")


def test_samples_without_an_image_are_counted(tmp_path):
    source = write_tar(tmp_path / "a.tar", {"1.jpg": b"x", "1.cls": b"1", "2.cls": b"2", "._1.jpg": b"x"})
    assert listed(source).notices == ("skipped 1 hidden or system entry", "skipped 1 sample without an image")
    with pytest.raises(SourceError, match="nothing in it"):
        listed(write_tar(tmp_path / "b" / "set-0.tar", {"2.cls": b"2"}).parent / "set-{0..0}.tar")


@pytest.mark.slow
def test_the_samples_are_those_of_the_same_images_in_folders(tmp_path):
    images = write_images(tmp_path / "images", 60)
    paths = sorted(images.glob("*/*"))
    classes = sorted({path.parent.name for path in paths})
    for shard in range(3):
        members = {}
        for number, path in list(enumerate(paths))[shard::3]:
            members[f"{number:06}{path.suffix}"] = path.read_bytes()
            members[f"{number:06}.cls"] = str(classes.index(path.parent.name)).encode()
            members[f"{number:06}.txt"] = f"caption {number}".encode()
        write_tar(tmp_path / f"wds/train-{shard:04}.tar", members)
    pack_small(tmp_path / "wds/train-{0000..0002}.tar", tmp_path / "a")
    pack_small(images, tmp_path / "b")

    def samples(dest):
        shards = read_manifest(dest).splits["train"].shards
        found = [row for shard in shards for row in read_records(dest, shard.key) if not row["is_fill"]]
        return sorted((row["source_sha256"], row["label"]) for row in found), found

    assert samples(tmp_path / "a")[0] == samples(tmp_path / "b")[0]
    assert {row["txt"] for row in samples(tmp_path / "a")[1]} == {f"caption {number}" for number in range(60)}
