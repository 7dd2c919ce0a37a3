"""Class maps and configuration files that lie in buckets."""

import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from packer.cli.command_options import load_config
from packer.cli.main import run
from packer.errors import OptionsError, SourceError, StoreError
from packer.sources.items import SourceSpec
from packer.sources.open_source import list_source
from packer.stores.fsspec_store import RemoteStore
from packer.stores.open_store import read_file
from tests.stores.conftest import Bucket
from tests.stores.test_pack_buckets import download, lasting, upload
from tests.tools.datasets import digests, write_images, write_listing


def test_class_maps_in_buckets(bucket: Bucket, tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", 6)
    write_listing(images / "labels.csv", images)
    source = upload(bucket, images, "photos")
    bucket.put("maps/m.json", b'{"c0": 7, "c1": 3, "c2": 5}')
    bucket.put("maps/few.txt", b"c0\nc2\n")
    class_map = f"s3://{bucket.name}/maps/m.json"
    for place in (str(images), source):
        found = list_source(SourceSpec(source=place, class_map=class_map, store=bucket.options))
        assert sorted(set(found.items["label"].to_pylist())) == [3, 5, 7]
        assert found.class_names[3] == "c1"
    few = class_map.replace("m.json", "few.txt")
    for place, problem in ((source, "1 of 3 classes"), (f"{source}/labels.csv", "1 ids of .* are not in it: 2")):
        with pytest.raises(SourceError, match=f"`class_map`: {few}: {problem}"):
            list_source(SourceSpec(source=place, class_map=few, store=bucket.options))
    with pytest.raises(SourceError, match=r"`class_map`: .*maps/none\.json cannot be read: .*No such file"):
        list_source(SourceSpec(source=source, class_map=class_map.replace("m.json", "none.json"), store=bucket.options))
    with pytest.raises(StoreError, match="no such bucket"):
        list_source(SourceSpec(source=source, class_map=f"s3://none-{uuid.uuid4().hex}/m", store=bucket.options))


@pytest.mark.slow
def test_configuration_in_a_bucket(bucket: Bucket, tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", 12)
    source, dest = upload(bucket, images, "photos"), f"s3://{bucket.name}/packed"
    bucket.put("maps/m.txt", b"c2\nc1\nc0\n")
    text = f"gpus: 2\nresize: 24\nworkers: 1\nallow-fill: true\nclass-map: s3://{bucket.name}/maps/m.txt\n"
    bucket.put("jobs/pack.yaml", f"{text}source: {source}\ndest: {dest}\nendpoint-url: {bucket.endpoint}\n".encode())
    config = f"s3://{bucket.name}/jobs/pack.yaml"
    assert run(["pack", "--config", config, "--endpoint-url", bucket.endpoint]) == 0
    (tmp_path / "m.txt").write_text("c2\nc1\nc0\n")
    (tmp_path / "pack.yaml").write_text(text.replace(f"s3://{bucket.name}/maps", str(tmp_path)))
    assert run(["pack", str(images), str(tmp_path / "local"), "--config", str(tmp_path / "pack.yaml")]) == 0
    assert lasting(digests(download(bucket, "packed", tmp_path / "down"))) == lasting(digests(tmp_path / "local"))


def test_configuration_that_is_not_there(bucket: Bucket) -> None:
    with pytest.raises(OptionsError, match=r"--config: s3://\S+/none\.yaml cannot be read: .*No such file"):
        load_config(f"s3://{bucket.name}/none.yaml", bucket.options)
    with pytest.raises(OptionsError, match="expected a file or an object, got a whole bucket"):
        load_config(f"s3://{bucket.name}", bucket.options)


def test_files_of_any_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = f"memory://{uuid.uuid4().hex}/some"
    RemoteStore(place).put("m.json", [b'["cat", "dog"]'])
    assert read_file(f"{place}/m.json", max_bytes=100) == b'["cat", "dog"]'
    (tmp_path / "x y").write_bytes(b"1")
    monkeypatch.chdir(tmp_path)
    assert read_file("x y", max_bytes=1) == read_file(f"file://{tmp_path}/x%20y", max_bytes=1) == b"1"
    (tmp_path / "x y").write_bytes(b"12")
    with pytest.raises(OptionsError, match="at most 1 bytes"):
        read_file("x y", max_bytes=1)
    with pytest.raises(OptionsError, match="at most 1 bytes"):
        read_file(f"{place}/m.json", max_bytes=1)


def test_a_table_read_through_s3fs_gives_the_items_of_s3(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed")
    s3fs.S3FileSystem.clear_instance_cache()  # those of another server
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.endpoint)
    table = pa.table({"path": ["a/0.jpg", "b/1.jpg"], "label": [1, 0], "num_bytes": [10, 20]})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    bucket.put("photos/rows.parquet", sink.getvalue().to_pybytes())
    for name in table["path"].to_pylist():
        bucket.put(f"photos/{name}", b"\xff\xd8")
    plain, through = (
        list_source(SourceSpec(source=f"{scheme}://{bucket.name}/photos/rows.parquet", store=bucket.options)).items
        for scheme in ("s3", "fsspec+s3")
    )
    columns = ["key", "label"]
    assert through.num_rows == 2
    assert through.select(columns).equals(plain.select(columns))
