"""Archives that lie in buckets: the items, the bytes and the refusals of archives on a disk."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from packer.errors import SourceChangedError, SourceError
from packer.packing.fetch import fetch_ahead
from packer.packing.sample import RowNames, item_rows
from packer.pipeline import pack
from packer.sources import archivefiles
from packer.sources.items import Listing, SourceSpec
from packer.sources.open_source import list_source
from packer.stores.open_store import open_store
from tests.sources.packed import write_tar, write_zip
from tests.stores.conftest import Bucket
from tests.stores.test_pack_buckets import as_plain, download, lasting, options, upload
from tests.tools.datasets import SerialEngine, digests, image_bytes, pack_small

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Archives beside loose images: in the root, whose folders are classes, and in the folder of a class."""
    folder = tmp_path_factory.mktemp("archives")
    images = [image_bytes(seed, width=32 + seed % 9) for seed in range(30)]
    write_tar(folder, {f"c{n % 3}/{n}.jpg": images[n] for n in range(10)}, "first.tar")
    write_zip(folder, {f"top/c{n % 3}/{n}.jpg": images[n] for n in range(10, 20)}, "deep.zip", zipfile.ZIP_STORED)
    write_zip(folder / "c1", {f"any/{n}.jpg": images[n] for n in range(20, 27)} | {"x.txt": b"1"}, "more.zip")
    write_tar(folder / "c2", {".hidden.jpg": b"1"}, "empty.tar")
    for n in range(27, 30):
        (folder / f"c2/{n}.jpg").write_bytes(images[n])
    return folder


def contents(listing: Listing, bucket: Bucket) -> dict[str, object]:
    """Return what packing would read of each item."""
    rows = item_rows(listing.items.to_pydict(), RowNames(()))
    store = open_store(listing.root, bucket.options)
    return {row.key: data for row, data in zip(rows, fetch_ahead(store, rows), strict=True)}


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("inside", ["", "/first.tar", "/deep.zip", "/deep.zip/top", "/c1"])
def test_archives_list_as_on_a_disk(bucket: Bucket, archives: Path, inside: str, flat: bool) -> None:
    source = upload(bucket, archives, "photos")
    expected = list_source(SourceSpec(source=f"{archives}{inside}", flat=flat))
    found = list_source(SourceSpec(source=f"{source}{inside}", flat=flat, store=bucket.options))
    assert as_plain(found) == as_plain(expected)
    assert found.root == expected.root.replace(str(archives), source)
    assert all(found.items["_etag"].to_pylist())
    assert contents(found, bucket) == contents(expected, bucket)


def test_packing_archives_gives_the_bytes_of_a_disk(bucket: Bucket, archives: Path, tmp_path: Path) -> None:
    source = upload(bucket, archives, "photos")
    given = {"split": "train=0.8,val=0.2", "allow_fill": True}
    pack_small(archives, tmp_path / "local", **given)
    pack(options(bucket, source, f"s3://{bucket.name}/packed"), engine=SerialEngine())
    assert lasting(digests(download(bucket, "packed", tmp_path / "down"))) == lasting(digests(tmp_path / "local"))


def test_an_archive_that_changed_since_the_plan_stops_the_run(bucket: Bucket, archives: Path, tmp_path: Path) -> None:
    source, dest = upload(bucket, archives, "photos"), f"s3://{bucket.name}/packed"
    pack(options(bucket, source, dest, part="0/1000"), engine=SerialEngine())
    for key in ("first.tar", "deep.zip", "c1/more.zip"):
        data = bytearray((archives / key).read_bytes())
        data[-1] ^= 1  # of the end mark, or of no member's bytes
        bucket.put(f"photos/{key}", bytes(data))
    with pytest.raises(SourceChangedError, match=r"photos/\S+: expected the entity tag .*`overwrite=True`"):
        pack(options(bucket, source, dest, resume=True), engine=SerialEngine())


def test_an_archive_that_changes_while_it_is_listed_stops_the_run(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_tar(tmp_path, {f"c{n}/x.jpg": bytes([n]) * 3_000_000 for n in range(4)})
    source = upload(bucket, tmp_path, "photos")
    read = archivefiles._RemoteFile.read

    def read_and_replace(file: archivefiles._RemoteFile, offset: int, num_bytes: int) -> bytes:
        if offset > 3_000_000:
            bucket.put("photos/set.tar", path.read_bytes()[:-1] + b"\1")
        return read(file, offset, num_bytes)

    monkeypatch.setattr(archivefiles._RemoteFile, "read", read_and_replace)
    with pytest.raises(SourceChangedError, match=r"set\.tar: expected the entity tag .* changed while it was listed"):
        list_source(SourceSpec(source=source, store=bucket.options))


def _cut(folder: Path) -> Path:
    path = write_tar(folder, ["a/1.jpg", "a/2.jpg"])
    path.write_bytes(path.read_bytes()[:1500])
    return path


def _noise(folder: Path) -> Path:
    path = folder / "set.zip"
    path.write_bytes(bytes(range(256)) * 100)
    return path


def _compressed(folder: Path) -> Path:
    path = folder / "set.tar.gz"
    path.write_bytes(b"1")
    return path


@pytest.mark.parametrize(
    ("write", "problem"),
    [
        (lambda folder: write_tar(folder, ["a/../../x.jpg"]), "leads out of the archive"),
        (lambda folder: write_zip(folder, ["/etc/x.jpg"]), "is absolute"),
        (lambda folder: write_zip(folder, {"a.jpg": bytes(20_000_000)}), "claims 20,000,000 bytes"),
        (lambda folder: write_zip(folder, ["a.jpg"], compression=zipfile.ZIP_LZMA), "lzma"),
        (_cut, "damaged at byte"),
        (_noise, "no zip archive"),
        (_compressed, "a compressed tar"),
    ],
)
def test_what_is_refused_on_a_disk_is_refused_in_the_same_words(
    bucket: Bucket, tmp_path: Path, write: Callable[[Path], Path], problem: str
) -> None:
    path = write(tmp_path)
    source = upload(bucket, tmp_path, "photos")
    for ours, theirs in ((tmp_path, source), (path, f"{source}/{path.name}")):
        with pytest.raises(SourceError, match=problem) as expected:
            list_source(SourceSpec(source=str(ours)))
        with pytest.raises(SourceError) as found:
            list_source(SourceSpec(source=theirs, store=bucket.options))
        assert str(found.value) == str(expected.value).replace(str(tmp_path), source)


def test_uris_that_lead_to_no_archive(bucket: Bucket, archives: Path) -> None:
    source = upload(bucket, archives, "photos")
    for inside in ("/none.zip", "/none.tar/top", "/deep.zipper", "/firs"):
        with pytest.raises(SourceError, match="nothing there"):
            list_source(SourceSpec(source=f"{source}{inside}", store=bucket.options))
    with pytest.raises(SourceError, match="nothing in it"):
        list_source(SourceSpec(source=f"{source}/deep.zip/nowhere", store=bucket.options))
    with pytest.raises(SourceError, match="`label_column`"):
        list_source(SourceSpec(source=f"{source}/deep.zip", label_column="x", store=bucket.options))
    bucket.put("sets/photos.zip/a/1.jpg", b"1")  # a folder, whatever its name
    found = list_source(SourceSpec(source=f"s3://{bucket.name}/sets/photos.zip", store=bucket.options))
    assert found.items["key"].to_pylist() == ["a/1.jpg"]
