"""Images in the rows of Parquet and Arrow files: the samples of the same images in folders, each byte read once."""

from __future__ import annotations

import glob
import os
import tempfile
from collections import namedtuple

import pyarrow as pa
import pytest

from packer.errors import SourceChangedError, SourceError
from packer.pipeline import pack
from packer.sources import imagerows
from packer.sources.items import SourceSpec
from packer.sources.open_source import list_source
from packer.stores.local_store import LocalStore
from tests.sources.row_files import hub_table, write_rows
from tests.tools.datasets import (
    SerialEngine,
    digests,
    make_options,
    pack_small,
    read_manifest,
    read_records,
    run_command,
    write_images,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("images"), 60)


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """A folder for temporary files that must be empty again."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    assert os.listdir(folder) == []


def list_paths(images):
    paths = sorted(images.glob("*/*"))
    return paths, sorted({path.parent.name for path in paths})


def hub_source(images, folder, *, suffix=".parquet", num_files=3):
    """Several files as in a repository of the Hub, and what lies beside them there."""
    paths, class_names = list_paths(images)
    table = hub_table(paths, class_names)
    step = -(-table.num_rows // num_files)
    for index in range(num_files):
        part = table.slice(index * step, step)
        write_rows(part, folder / f"data/train-{index:05}-of-{num_files:05}{suffix}")
    (folder / "README.md").write_text("# a data set")
    (folder / ".gitattributes").write_text("*.parquet filter=lfs")
    return folder


def samples(dest):
    """What must be the same wherever an image came from: digest of its bytes, label."""
    shards = read_manifest(dest).splits["train"].shards
    rows = [row for shard in shards for row in read_records(dest, shard.key) if not row["is_fill"]]
    return sorted((row["source_sha256"], row["label"]) for row in rows)


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".feather"])
def test_the_hubs_layout_gives_the_samples_of_folders(images, tmp_path, suffix):
    source = hub_source(images, tmp_path / "hub", suffix=suffix)
    pack_small(source, tmp_path / "rows")
    pack_small(images, tmp_path / "folders")

    assert samples(tmp_path / "rows") == samples(tmp_path / "folders")
    manifest = read_manifest(tmp_path / "rows")
    assert read_labels(tmp_path / "rows") == read_labels(tmp_path / "folders")
    row = read_records(tmp_path / "rows", manifest.splits["train"].shards[0].key)[0]
    assert row["key"].startswith("data/train-0000")
    assert row["image_path"] in {path.name for path in list_paths(images)[0]}
    assert run_command("verify", tmp_path / "rows", "--decode").returncode == 0


def test_a_column_of_bytes_with_captions(images, tmp_path):
    paths, _ = list_paths(images)
    table = pa.table(
        {
            "jpg": pa.array([path.read_bytes() for path in paths], pa.large_binary()),
            "class": [path.parent.name for path in paths],
            "caption": [f"caption {index}" for index in range(len(paths))],
        }
    )
    write_rows(table, tmp_path / "one.parquet")
    pack_small(tmp_path / "one.parquet", tmp_path / "out")
    pack_small(images, tmp_path / "folders")

    assert samples(tmp_path / "out") == samples(tmp_path / "folders")
    assert read_labels(tmp_path / "out") == read_labels(tmp_path / "folders")
    shards = read_manifest(tmp_path / "out").splits["train"].shards
    captions = {row["caption"] for shard in shards for row in read_records(tmp_path / "out", shard.key)}
    assert captions == {f"caption {index}" for index in range(len(paths))}


def test_the_same_bytes_with_workers_and_without_and_wherever_it_spills(images, tmp_path):
    source = hub_source(images, tmp_path / "hub")
    pack_small(source, tmp_path / "here")
    done = run_command("pack", source, tmp_path / "there", "--gpus", 4, "--resize", 24, "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert digests(tmp_path / "here") == digests(tmp_path / "there")


def test_each_byte_of_the_source_is_read_once(images, tmp_path, monkeypatch):
    source = hub_source(images, tmp_path / "hub")
    opened = []
    whole = LocalStore.open
    monkeypatch.setattr(LocalStore, "open", lambda self, key: opened.append(key) or CountingFile(whole(self, key)))
    CountingFile.num_bytes = 0
    pack_small(source, tmp_path / "out")

    size = sum(os.path.getsize(path) for path in glob.glob(f"{source}/data/*"))
    assert size <= CountingFile.num_bytes + 3 * 4096
    assert CountingFile.num_bytes <= 1.1 * size + 3 * 65_536  # and the footers, which small files are mostly of


class CountingFile:
    """Counts what is read of all files."""

    num_bytes = 0

    def __init__(self, file):
        self._file = file

    def read(self, size=-1):
        data = self._file.read(size)
        CountingFile.num_bytes += len(data)
        return data

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()


def read_labels(dest):
    return (dest / "meta/labels.json").read_bytes()


class Interrupted(SerialEngine):
    """Stops after one shard."""

    def run(self, function, context, tasks, tick):
        for number, result in enumerate(super().run(function, context, tasks, tick)):
            if number and function.__name__ == "pack_shard":
                raise KeyboardInterrupt
            yield result


def test_a_run_is_resumed_with_the_same_bytes(images, tmp_path):
    source = hub_source(images, tmp_path / "hub")
    with pytest.raises(KeyboardInterrupt):
        pack(make_options(source, tmp_path / "out"), engine=Interrupted())
    result = pack_small(source, tmp_path / "out", resume=True)
    pack_small(source, tmp_path / "whole")

    assert result.num_reused >= 1
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")


def test_a_source_that_changed_is_not_packed_on(images, tmp_path):
    source = hub_source(images, tmp_path / "hub")
    with pytest.raises(KeyboardInterrupt):
        pack(make_options(source, tmp_path / "out"), engine=Interrupted())
    paths, class_names = list_paths(images)
    for file in (source / "data").iterdir():
        write_rows(hub_table(paths[::-1][:20], class_names), file)
    with pytest.raises(SourceChangedError, match="does not hold the images that were listed; the source changed"):
        pack_small(source, tmp_path / "out", resume=True)


def test_parts_spill_for_themselves(images, tmp_path):
    source = hub_source(images, tmp_path / "hub")
    for part in range(2):
        done = run_command("pack", source, tmp_path / "out", "--gpus", 4, "--resize", 24, "--part", f"{part}/2")
        assert done.returncode == 0, done.stderr
    assert run_command("commit", tmp_path / "out").returncode == 0
    pack_small(source, tmp_path / "whole")
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")


def test_a_row_without_an_image_is_a_reject(images, tmp_path):
    paths, class_names = list_paths(images)
    table = hub_table(paths, class_names)
    rows = table.column("image").to_pylist()
    rows[5] = None
    column = pa.array(rows, table.schema.field("image").type)
    write_rows(table.set_column(0, table.schema.field("image"), column), tmp_path / "a.parquet")
    pack_small(tmp_path / "a.parquet", tmp_path / "out", max_rejects=0.05)
    assert read_manifest(tmp_path / "out").rejects == {"empty_file": 1}


def refused(source, tmp_path, **options):
    with pytest.raises(SourceError) as caught:
        pack_small(source, tmp_path / "out", **options)
    return str(caught.value)


def test_what_cannot_be_packed_is_said(images, tmp_path, monkeypatch):
    paths, class_names = list_paths(images)
    table = hub_table(paths, class_names)
    source = tmp_path / "a.parquet"
    write_rows(table.replace_schema_metadata().append_column("mask", table.column("image")), source)
    assert "the columns 'image', 'mask' hold images; name one with `key_column`" in refused(source, tmp_path)
    without = pa.array([{"bytes": None, "path": path.name} for path in paths], table.schema.field("image").type)
    write_rows(table.set_column(0, table.schema.field("image"), without), source)
    assert "names a file" in refused(source, tmp_path)
    write_rows(table.slice(0, 0), source)
    assert "nothing in it" in refused(source, tmp_path)
    source.write_bytes(b"PAR1 no parquet PAR1")
    assert str(source) in refused(source, tmp_path)

    write_rows(table, source)
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(imagerows.shutil, "disk_usage", lambda _: usage(free=10**6))
    assert "let TMPDIR name a folder with more room" in refused(source, tmp_path)


def test_further_images_are_left_out_and_named(images, tmp_path, capsys):
    paths, class_names = list_paths(images)
    table = hub_table(paths, class_names)
    write_rows(table.append_column("mask", table.column("image")), tmp_path / "a.parquet")
    done = run_command("pack", tmp_path / "a.parquet", tmp_path / "out", "--gpus", 4, "--resize", 24)
    assert done.returncode == 0
    assert "column 'mask' left out: it holds further images" in done.stderr
    assert "mask" not in read_records(tmp_path / "out", "train/train-00000-of-00004.tfrecord")[0]


def test_spark_is_refused(images, tmp_path):
    source = hub_source(images, tmp_path / "hub")
    assert "expected `engine=local` for images in the rows of files" in refused(source, tmp_path, engine="spark")


def test_exact_copies_are_found_in_rows(images, tmp_path):
    paths, class_names = list_paths(images)
    write_rows(hub_table([*paths, *paths[:3]], class_names), tmp_path / "a.parquet")
    pack_small(tmp_path / "a.parquet", tmp_path / "out", dedupe=True)
    pack_small(images, tmp_path / "folders")
    assert samples(tmp_path / "out") == samples(tmp_path / "folders")


def test_a_listing_alone_leaves_nothing_behind(images, tmp_path, temporary):
    """The fixture looks, too, but a listing must not wait for the end of the process."""
    paths, class_names = list_paths(images)
    write_rows(hub_table(paths, class_names), tmp_path / "a.parquet")
    assert list_source(SourceSpec(source=str(tmp_path / "a.parquet"))).items.num_rows == len(paths)
    assert os.listdir(temporary) == []
