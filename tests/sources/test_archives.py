import os
import random
import shutil
import struct
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from packer.packing.fetch import fetch_ahead
from packer.packing.sample import RowNames, item_rows
from packer.sources.items import LabelKind
from packer.stores.open_store import open_store
from tests.sources.listings import failure, listed
from tests.sources.packed import write_tar, write_zip

WRITERS: dict[str, Callable[..., Any]] = {".tar": write_tar, ".zip": write_zip}


@pytest.fixture(params=sorted(WRITERS))
def write(request):
    """A writer of either kind of archive."""
    return lambda folder, names, stem="set": WRITERS[request.param](folder, names, stem + request.param)


def contents(listing):
    """Return the bytes of each item by key, read as packing reads them."""
    rows = item_rows(listing.items.to_pydict(), RowNames(()))
    return {row.key: data for row, data in zip(rows, fetch_ahead(open_store(listing.root), rows), strict=True)}


def labels(listing):
    return dict(zip(listing.items["key"].to_pylist(), listing.items["label"].to_pylist(), strict=True))


def test_first_folder_of_a_member_is_its_class(tmp_path, write):
    path = write(tmp_path, ["dog/1.jpg", "cat/deep/er/2.PNG", "cat/1.jpg"])
    listing = listed(path)
    assert listing.class_names == ("cat", "dog")
    assert labels(listing) == {
        f"{path.name}/cat/1.jpg": 0,
        f"{path.name}/cat/deep/er/2.PNG": 0,
        f"{path.name}/dog/1.jpg": 1,
    }
    assert contents(listing)[f"{path.name}/cat/deep/er/2.PNG"] == b"cat/deep/er/2.PNG"
    assert listing.root == str(tmp_path)
    assert set(listing.items["_archive"].to_pylist()) == {path.name}


def test_columns_of_members(tmp_path):
    write_zip(tmp_path, {"a.jpg": b"z" * 5000})
    (tmp_path / "b.jpg").write_bytes(b"12")
    listing = listed(tmp_path)
    assert listing.items.drop_columns(["_offset_bytes", "_stored_bytes"]).to_pylist() == [
        {"key": "b.jpg", "num_bytes": 2, "_archive": None, "_method": None},
        {"key": "set.zip/a.jpg", "num_bytes": 5000, "_archive": "set.zip", "_method": 8},
    ]
    assert listing.items.schema.field("_offset_bytes").equals(pa.field("_offset_bytes", pa.int64()))
    assert listing.items["_stored_bytes"].to_pylist()[1] < 100
    assert contents(listing) == {"b.jpg": b"12", "set.zip/a.jpg": b"z" * 5000}


def test_flat_archives_have_no_labels(tmp_path, write):
    path = write(tmp_path, ["b.jpg", "./a.jpg"])
    listing = listed(path)
    assert listing.items["key"].to_pylist() == [f"{path.name}/a.jpg", f"{path.name}/b.jpg"]
    assert (listing.label_kind, listing.class_names) == (LabelKind.NONE, ())
    assert listed(tmp_path).items.equals(listing.items)
    write(tmp_path, ["c.jpg"], "more")
    assert any("put each into a folder" in notice for notice in listed(tmp_path).notices)


def test_an_archive_counts_as_unpacked_where_it_lies(tmp_path, write):
    write(tmp_path, ["dog/1.jpg", "cow/2.jpg"])
    write(tmp_path / "cat", ["x/1.jpg", "2.jpg"], "more")
    (tmp_path / "dog").mkdir()
    (tmp_path / "dog/3.jpg").write_bytes(b"3")
    listing = listed(tmp_path)
    assert listing.class_names == ("cat", "cow", "dog")
    assert sorted(label for label in labels(listing).values()) == [0, 0, 1, 2, 2]
    assert all(label == 0 for key, label in labels(listing).items() if key.startswith("cat/more"))
    assert contents(listing)["dog/3.jpg"] == b"3"
    flat = listed(tmp_path, flat=True)
    assert flat.label_kind is LabelKind.NONE
    assert flat.items["key"].equals(listing.items["key"])


def test_loose_members_beside_classes_are_refused(tmp_path, write):
    path = write(tmp_path, ["dog/1.jpg", "stray.jpg"])
    assert f"'{path.name}/stray.jpg'" in failure(path)
    assert "`flat=True`" in failure(tmp_path)
    assert listed(path, flat=True).items.num_rows == 2


def test_folder_in_an_archive(tmp_path, write):
    path = write(tmp_path, ["top/train/cat/1.jpg", "top/train/dog/2.jpg", "top/trainer/cow/3.jpg", "readme.jpg"])
    listing = listed(f"{path}/top/train")
    assert listing.class_names == ("cat", "dog")
    assert labels(listing) == {f"{path.name}/top/train/cat/1.jpg": 0, f"{path.name}/top/train/dog/2.jpg": 1}
    assert "nothing in it" in failure(f"{path}/nowhere")
    assert "no such file" in failure(tmp_path / "none.zip/cat")
    assert "no such file" in failure(tmp_path / "none/set.zip")


def test_one_class_that_may_be_a_wrapper_is_pointed_out(tmp_path, write):
    path = write(tmp_path, ["data/cat/1.jpg", "data/dog/2.jpg"])
    assert any("one class, 'data'" in notice for notice in listed(path).notices)


def test_what_is_no_image_is_counted(tmp_path, write):
    names = ["cat/1.jpg", "cat/1.txt", "__MACOSX/cat/._1.jpg", ".git/x.jpg", "cat/@eaDir/1.jpg/x.jpg", "labels.csv"]
    path = write(tmp_path, names)
    listing = listed(path)
    assert listing.items.num_rows == 1
    assert listing.notices[:2] == (
        "skipped 3 hidden or system entries",
        "skipped 2 files not named as images: 1 .csv, 1 .txt",
    )
    other = write(tmp_path, ["a.txt"], "other")
    assert "nothing in it" in failure(other)
    assert f"1 archive without images: '{other.name}'" in listed(tmp_path).notices


@pytest.mark.parametrize("name", ["../x.jpg", "a/../../x.jpg", "/etc/x.jpg", "C:\\x.jpg", "c:/x.jpg", "..\\x.jpg"])
def test_names_that_lead_out_are_refused(tmp_path, write, name):
    text = failure(write(tmp_path, ["a.jpg", name]))
    assert "leads out of the archive" in text or "is absolute" in text
    assert ascii(name)[1:-1] in text.replace("\\\\\\\\", "\\\\")


def test_repeated_names_are_refused(tmp_path):
    path = write_tar(tmp_path, ["cat/1.jpg"])
    with tarfile.open(path, "a") as archive:
        archive.addfile(tarfile.TarInfo("./cat//1.jpg"))
    assert "'cat/1.jpg' appears more than once" in failure(path)
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("a.jpg", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.jpg", b"2")
    assert "'a.jpg' appears more than once" in failure(tmp_path / "set.zip")


@pytest.mark.parametrize("suffix", [".tar.gz", ".tgz", ".TAR.bz2", ".tar.xz", ".tar.zst"])
def test_compressed_tars_are_refused(tmp_path, suffix):
    (tmp_path / f"set{suffix}").write_bytes(b"1")
    for source in (tmp_path, tmp_path / f"set{suffix}"):
        text = failure(source)
        assert f"set{suffix}: a compressed tar" in text
        assert "unpack" in text


@pytest.mark.parametrize(("method", "name"), [(zipfile.ZIP_BZIP2, "bzip2"), (zipfile.ZIP_LZMA, "lzma")])
def test_other_methods_are_refused(tmp_path, method, name):
    assert f"({name})" in failure(write_zip(tmp_path, ["a.jpg"], compression=method))


def test_encrypted_members_are_refused(tmp_path):
    path = write_zip(tmp_path, ["a.jpg"])
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02") + 8
    data[at] |= 1
    path.write_bytes(data)
    assert "'a.jpg' is encrypted" in failure(path)


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        (tarfile.SYMTYPE, "is a symbolic link"),
        (tarfile.LNKTYPE, "is a hard link"),
        (tarfile.FIFOTYPE, "is a device"),
        (tarfile.CHRTYPE, "is a device"),
        (b"?", "is a device, a pipe or of an unknown type (b'?')"),
    ],
)
def test_links_and_devices_named_as_images_are_refused(tmp_path, kind, problem):
    path = write_tar(tmp_path, ["a.jpg"])
    for name in ("link.txt", "b.jpg"):
        with tarfile.open(path, "a") as archive:
            header = tarfile.TarInfo(name)
            header.type, header.linkname = kind, "a.jpg"
            archive.addfile(header)
        if name == "link.txt":
            assert listed(path).notices == ("skipped 1 file not named as images: 1 .txt",)
    assert f"'b.jpg' {problem}" in failure(path)


def test_links_in_zips_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        link = zipfile.ZipInfo("a.jpg")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "b.jpg")
    assert "'a.jpg' is a symbolic link" in failure(tmp_path / "set.zip")


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_long_and_foreign_names(tmp_path, form):
    names = ["ä/" + "x" * 90 + ".jpg", "ä/日本.jpg"]
    if form != tarfile.USTAR_FORMAT:
        names.append("c/" * 100 + "y" * 200 + ".jpg")
    path = write_tar(tmp_path, names, format=form)
    assert contents(listed(path)) == {f"set.tar/{name}": name.encode() for name in names}


def test_names_that_are_not_utf8_are_refused(tmp_path):
    path = write_tar(
        tmp_path, {"b\udce4d.jpg": b"1"}, format=tarfile.GNU_FORMAT, encoding="utf-8", errors="surrogateescape"
    )
    text = failure(path)
    assert "is not UTF-8" in text
    text.encode()


def test_pax_sizes_are_heeded(tmp_path):
    path = write_tar(tmp_path, ["a.jpg", "b.jpg"])
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        header = tarfile.TarInfo("a.jpg")
        header.pax_headers = {"size": "5", "comment": "a=b"}
        archive.addfile(header)
        archive.fileobj.write(b"12345".ljust(512, b"\0"))
        archive.offset += 512
        archive.addfile(tarfile.TarInfo("b.jpg"))
    assert listed(path).items["num_bytes"].to_pylist() == [5, 0]


@pytest.mark.parametrize("key", ["GNU.sparse.map", "GNU.sparse.major"])
def test_sparse_members_are_refused(tmp_path, key):
    with tarfile.open(tmp_path / "set.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        header = tarfile.TarInfo("x/a.jpg")
        header.pax_headers = {key: "0,0", "GNU.sparse.name": "a.jpg"}
        archive.addfile(header)
    assert "'a.jpg' is sparse" in failure(tmp_path / "set.tar")
    data = bytearray(write_tar(tmp_path, ["a.jpg"]).read_bytes())
    data[156:157] = tarfile.GNUTYPE_SPARSE
    data[148:156] = b"%06o\0 " % (sum(data[:512]) - sum(data[148:156]) + 8 * 32)
    (tmp_path / "set.tar").write_bytes(data)
    assert "'a.jpg' is sparse" in failure(tmp_path / "set.tar")


def test_global_headers(tmp_path):
    write_tar(tmp_path, ["a.jpg"], format=tarfile.PAX_FORMAT, pax_headers={"comment": "commit"})
    assert listed(tmp_path / "set.tar").items.num_rows == 1
    write_tar(tmp_path, ["a.jpg"], format=tarfile.PAX_FORMAT, pax_headers={"size": "9"})
    assert "global header" in failure(tmp_path / "set.tar")


def test_absurd_sizes_are_refused(tmp_path):
    bomb = write_zip(tmp_path, {"a.jpg": bytes(20_000_000)})
    text = failure(bomb)
    assert "'a.jpg' claims 20,000,000 bytes" in text
    assert listed(write_zip(tmp_path, {"a.jpg": bytes(9_000_000)})).items["num_bytes"].to_pylist() == [9_000_000]
    huge = write_tar(tmp_path, {})
    header = tarfile.TarInfo("a.jpg")
    header.size = 2_000_000_000
    with huge.open("wb") as stream:
        stream.write(header.tobuf())
        stream.truncate(512 * 4 + header.size)
    assert "claims 2,000,000,000 bytes" in failure(huge)


def test_cut_tars_are_refused_wherever_they_are_cut(tmp_path):
    path = write_tar(tmp_path, ["a.jpg", "b.jpg"])
    data = path.read_bytes()
    for length in (0, 100, 512, 515, 1024, 1500, 2048):
        path.write_bytes(data[:length])
        text = failure(path)
        assert f"{path}: damaged at byte" in text, length
    path.write_bytes(data[: 2048 + 512])
    assert listed(path).items.num_rows == 2


def test_damaged_and_joined_tars_are_refused(tmp_path):
    path = write_tar(tmp_path, ["a.jpg", "b.jpg"])
    data = path.read_bytes()
    path.write_bytes(data[:1030] + b"!" + data[1031:])
    assert f"{path}: damaged at byte 1,024: no header" in failure(path)
    path.write_bytes(data + data)
    assert f"damaged at byte {len(data):,}" in failure(path)
    path.write_bytes(os.urandom(5000))
    assert "damaged at byte 0" in failure(path)


def test_damaged_zips_are_refused(tmp_path):
    path = write_zip(tmp_path, ["a.jpg", "b.jpg"])
    data = path.read_bytes()
    for length in (0, 20, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        assert str(path) in failure(path)
    second = data.index(b"PK\x03\x04", 4)
    path.write_bytes(data[:second] + b"XX" + data[second + 2 :])
    assert f"damaged at byte {second}: expected the header of 'b.jpg'" in failure(path)
    path.write_bytes(data.replace(b"b.jpg", b"c.jpg", 1))
    assert "that of b'c.jpg'" in failure(path)


def test_overlapping_members_are_refused(tmp_path):
    path = write_zip(tmp_path, {"a.jpg": b"1", "b.jpg": b"1"})
    data = bytearray(path.read_bytes())
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4)
    struct.pack_into("<L", data, second + 42, 0)
    path.write_bytes(data)
    assert "lies over another" in failure(path)


def test_data_offset_comes_from_the_local_header(tmp_path):
    info = zipfile.ZipInfo("a.jpg")
    info.extra = struct.pack("<HH", 0x9999, 4) + b"1234"
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr(info, b"content")
        info.extra = b""
    assert contents(listed(tmp_path / "set.zip")) == {"set.zip/a.jpg": b"content"}


def test_streamed_prefixed_and_zip64_archives(tmp_path):
    path = tmp_path / "set.zip"
    with path.open("wb") as stream, zipfile.ZipFile(Unseekable(stream), "w") as archive:
        archive.writestr("a.jpg", b"streamed")
    assert contents(listed(path)) == {"set.zip/a.jpg": b"streamed"}
    path.write_bytes(b"#!/bin/sh\n" + path.read_bytes())
    assert contents(listed(path)) == {"set.zip/a.jpg": b"streamed"}
    with zipfile.ZipFile(path, "w") as archive, archive.open("b.jpg", "w", force_zip64=True) as member:
        member.write(b"zip64")
    assert contents(listed(path)) == {"set.zip/b.jpg": b"zip64"}


class Unseekable:
    """A stream that only goes forward, so that sizes follow the content."""

    def __init__(self, stream):
        self.write, self.flush = stream.write, stream.flush


def write_unmarked(path, name, extra=b""):
    """Write a zip with one member, whose name is `name`, as bytes and without the mark of UTF-8, as is its content."""
    stand_in = "x" * len(name)
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo(stand_in)
        info.extra = extra
        archive.writestr(info, name)
    path.write_bytes(path.read_bytes().replace(stand_in.encode(), name))
    return path


def unicode_path(stored, name):
    content = struct.pack("<BL", 1, zlib.crc32(stored)) + name
    return struct.pack("<2H", 0x7075, len(content)) + content


@pytest.mark.parametrize(
    ("stored", "name"),
    [
        ("Käse/日本.jpg".encode(), "Käse/日本.jpg"),
        (b"caf\x82/1.jpg", "café/1.jpg"),
        ("ä".encode() + b"\x84/1.jpg", "├ñä/1.jpg"),
        (b"plain/1.jpg", "plain/1.jpg"),
    ],
)
def test_unmarked_names_in_zips(tmp_path, stored, name):
    listing = listed(write_unmarked(tmp_path / "set.zip", stored))
    assert listing.class_names == (name.partition("/")[0],)
    assert contents(listing) == {f"set.zip/{name}": stored}


@pytest.mark.parametrize(
    ("stored", "of", "path", "name"),
    [
        (b"#U65e5/1.jpg", b"#U65e5/1.jpg", "日/1.jpg".encode(), "日/1.jpg"),
        (b"caf\x82/1.jpg", b"caf\x82/1.jpg", "ça/1.jpg".encode(), "ça/1.jpg"),
        (b"caf\x82/1.jpg", b"renamed/1.jpg", "ça/1.jpg".encode(), "café/1.jpg"),
    ],
)
def test_unicode_paths_in_zips(tmp_path, stored, of, path, name):
    extra = struct.pack("<2H", 0x9999, 2) + b"12" + unicode_path(of, path)
    listing = listed(write_unmarked(tmp_path / "set.zip", stored, extra))
    assert contents(listing) == {f"set.zip/{name}": stored}
    assert "leads out" in failure(write_unmarked(tmp_path / "set.zip", stored, unicode_path(stored, b"../1.jpg")))


@pytest.mark.parametrize(("stored", "fits"), [(b"caf\x82/1.jpg", True), (b"caf\x81/1.jpg", False)])
def test_a_local_header_may_have_the_name_in_another_encoding(tmp_path, stored, fits):
    first = write_unmarked(tmp_path / "set.zip", stored).read_bytes()
    second = write_zip(tmp_path, {"café/1.jpg": stored}, compression=zipfile.ZIP_STORED).read_bytes()
    local, directory = first[: first.index(b"PK\x01\x02")], bytearray(second[second.index(b"PK\x01\x02") :])
    struct.pack_into("<L", directory, len(directory) - 6, len(local))
    (tmp_path / "set.zip").write_bytes(local + directory)
    if fits:
        assert contents(listed(tmp_path / "set.zip")) == {"set.zip/café/1.jpg": stored}
    else:
        assert "expected the header of 'café/1.jpg'" in failure(tmp_path / "set.zip")


@pytest.mark.skipif(shutil.which("zip") is None, reason="Info-ZIP is not installed")
@pytest.mark.may_skip
def test_names_by_info_zip(tmp_path):
    for name in ("Käse/日本.jpg", "Œuf/1.jpg"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(name.encode())
    for index, locale in enumerate(("C", "C.UTF-8")):
        command = ["zip", "-q", "-r", f"set{index}.zip", "Käse", "Œuf"]
        subprocess.run(command, cwd=tmp_path, env={**os.environ, "LC_ALL": locale}, check=True)
        listing = listed(tmp_path / f"set{index}.zip")
        assert listing.class_names == ("Käse", "Œuf")
        assert contents(listing)[f"set{index}.zip/Käse/日本.jpg"] == "Käse/日本.jpg".encode()


def test_backslashes_as_separators_are_refused_in_zips(tmp_path):
    assert "has \\ for /" in failure(write_zip(tmp_path, ["cat\\1.jpg"]))


def test_order_in_the_archive_does_not_matter(tmp_path, write):
    names = [f"{'abc'[i % 3]}/{i}.jpg" for i in range(50)]
    first = listed(write(tmp_path, names)).items
    random.Random(1).shuffle(names)
    second = listed(write(tmp_path, names)).items
    assert first.select(["key", "num_bytes", "label"]).equals(second.select(["key", "num_bytes", "label"]))


def test_options_of_a_listing_are_refused(tmp_path, write):
    assert "`label_column`" in failure(write(tmp_path, ["a.jpg"]), label_column="x")
