import gzip
import hashlib
import json
import logging
import os
from pathlib import Path
from urllib.parse import quote, quote_plus

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from packer.sources.items import ETAG, SourceSpec
from packer.sources.open_source import list_source
from packer.specs import StoreOptions
from packer.stores.s3client import disconnect
from tests.sources.listings import failure, listed

CSV_SCHEMA = "Bucket, Key, Size, LastModifiedDate, ETag, StorageClass"
VERSIONED_SCHEMA = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, ETag"
ODD_NAMES = ("cat/two words.jpg", "cat/1+1.jpg", "dog/50%20.png", 'dog/Grüße, "猫".webp', "dog/a=b&c.jpg")


def csv_file(rows, encode=quote_plus):
    """Return gzipped rows whose second value is a key."""
    lines = []
    for bucket, key, *rest in rows:
        lines.append(",".join(f'"{value}"' for value in (bucket, encode(key, safe="/"), *rest)) + "\n")
    return gzip.compress("".join(lines).encode())


def objects_csv(objects, encode=quote_plus):
    """Return the rows of (key, size, entity tag) in CSV_SCHEMA."""
    return csv_file([("photos", k, n, "2026-01-02T03:04:05.000Z", etag, "STANDARD") for k, n, etag in objects], encode)


def parquet_file(**columns):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


def manifest(files, **changes):
    """Return the bytes of a manifest of the data files {key: content}."""
    fields = {
        "sourceBucket": "photos",
        "destinationBucket": "arn:aws:s3:::reports",
        "version": "2016-11-30",
        "creationTimestamp": "1767312000000",
        "fileFormat": "CSV",
        "fileSchema": CSV_SCHEMA,
        "files": [
            {"key": key, "size": len(content), "MD5checksum": hashlib.md5(content).hexdigest()}
            for key, content in files.items()
        ],
    }
    return json.dumps(fields | changes).encode()


def write_inventory(folder, contents, suffix="csv.gz", **changes):
    """Write a manifest and its data files side by side; return the manifest's path."""
    files = {f"photos/all/data/{index}.{suffix}": content for index, content in enumerate(contents)}
    for key, content in files.items():
        (folder / Path(key).name).write_bytes(content)
    path = folder / "manifest.json"
    path.write_bytes(manifest(files, **changes))
    return path


def rows_of(listing):
    names = listing.class_names
    return [
        (row["key"], row["num_bytes"], row[ETAG], names[row["label"]] if names else None)
        for row in listing.items.to_pylist()
    ]


@pytest.mark.parametrize("encode", [quote_plus, quote])
def test_csv_names_are_decoded_and_folders_are_classes(tmp_path, encode):
    objects = [(key, index + 1, f"tag{index}") for index, key in enumerate(ODD_NAMES)]
    files = [objects_csv(objects[:2], encode), objects_csv([*objects[2:], ("notes.txt", 5, "x")], encode)]
    listing = listed(write_inventory(tmp_path, files))
    assert listing.root == "s3://photos"
    assert listing.class_names == ("cat", "dog")
    assert rows_of(listing) == sorted((key, size, etag, key[:3]) for key, size, etag in objects)
    assert listing.notices == ("skipped 1 file not named as images: 1 .txt",)


def test_parquet_gives_the_items_of_csv_and_its_names_are_plain(tmp_path):
    objects = [(key, index + 1, f"tag{index}") for index, key in enumerate(ODD_NAMES)]
    keys, sizes, tags = (list(column) for column in zip(*objects, strict=True))
    content = parquet_file(bucket=["photos"] * len(keys), key=keys, size=sizes, e_tag=tags)
    (tmp_path / "parquet").mkdir()
    schema = "message s3.inventory { required binary bucket (UTF8); required binary key (UTF8); }"
    path = write_inventory(tmp_path / "parquet", [content], "parquet", fileFormat="Parquet", fileSchema=schema)
    expected = listed(write_inventory(tmp_path, [objects_csv(objects)]))
    assert listed(path).items.equals(expected.items)
    assert len(expected.items) == len(ODD_NAMES)


@pytest.mark.parametrize("kind", ["CSV", "Parquet"])
def test_of_versions_the_latest_count_and_no_delete_markers(tmp_path, kind):
    rows = [
        ("a/1.jpg", "v2", True, False, 20, "new"),
        ("a/1.jpg", "v1", False, False, 10, "old"),
        ("a/2.jpg", "v2", True, True, None, None),
        ("a/2.jpg", "v1", False, False, 30, "deleted"),
        ("a/3.jpg", "v1", True, False, 40, "only"),
    ]
    if kind == "CSV":
        texts = [
            ("photos", key, version, str(latest).lower(), str(marker).lower(), "" if size is None else size, tag or "")
            for key, version, latest, marker, size, tag in rows
        ]
        path = write_inventory(tmp_path, [csv_file(texts)], fileSchema=VERSIONED_SCHEMA)
    else:
        names = ("key", "version_id", "is_latest", "is_delete_marker", "size", "e_tag")
        columns = {name: list(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)}
        path = write_inventory(tmp_path, [parquet_file(**columns)], "parquet", fileFormat="Parquet")
    assert rows_of(listed(path)) == [("a/1.jpg", 20, "new", "a"), ("a/3.jpg", 40, "only", "a")]


def test_root_narrows_to_a_prefix_and_flat_gives_no_labels(tmp_path):
    keys = ("2026/", "2023/", "2026/cat/1.jpg", "2026/dog/2.jpg", "2026b/cat/3.jpg", "2025/cat/4.jpg", "odd//5.jpg")
    path = write_inventory(tmp_path, [objects_csv([(key, 7, "t") for key in keys])])
    listing = listed(path, root="s3a://photos/2026/")
    assert listing.root == "s3://photos/2026"
    assert rows_of(listing) == [("cat/1.jpg", 7, "t", "cat"), ("dog/2.jpg", 7, "t", "dog")]
    flat = listed(path, root="s3://photos/2026", flat=True)
    assert rows_of(flat) == [("cat/1.jpg", 7, "t", None), ("dog/2.jpg", 7, "t", None)]
    assert "empty part" in failure(path)
    assert "expected s3://photos" in failure(path, root="s3://photosets/2026")
    for prefix in ("2023", "2024"):
        assert "nothing there" in failure(path, root=f"s3://photos/{prefix}")


def test_entity_tags_may_be_left_out_and_sizes_may_not(tmp_path):
    bare = csv_file([("photos", "a/1.jpg", 5)])
    assert rows_of(listed(write_inventory(tmp_path, [bare], fileSchema="Bucket, Key, Size"))) == [
        ("a/1.jpg", 5, "", "a")
    ]
    assert "no field 'size'" in failure(write_inventory(tmp_path, [bare], fileSchema="Bucket, Key, ETag"))


def test_a_damaged_file_is_named(tmp_path):
    path = write_inventory(tmp_path, [objects_csv([("a/1.jpg", 1, "t")]), objects_csv([("a/2.jpg", 1, "t")])])
    (tmp_path / "1.csv.gz").write_bytes(objects_csv([("a/9.jpg", 1, "t")]))
    text = failure(path)
    assert "1.csv.gz: damaged: expected the MD5" in text


def test_a_missing_file_is_named(tmp_path):
    path = write_inventory(tmp_path, [objects_csv([("a/1.jpg", 1, "t")]), objects_csv([("a/2.jpg", 1, "t")])])
    os.remove(tmp_path / "1.csv.gz")
    assert "1.csv.gz: no such file, which the inventory's manifest names" in failure(path)


def test_files_that_are_not_what_the_manifest_says_are_named(tmp_path):
    assert "0.csv.gz: cannot be read as CSV" in failure(write_inventory(tmp_path, [b"not gzip"]))
    few = csv_file([("photos", "a/1.jpg", 5)])
    assert "Expected 6 columns, got 3" in failure(write_inventory(tmp_path, [few]))
    text = failure(write_inventory(tmp_path, [b"not Parquet"], "parquet", fileFormat="Parquet"))
    assert "0.parquet: cannot be read as Parquet" in text
    assert "without a size" in failure(write_inventory(tmp_path, [objects_csv([("a/1.jpg", "", "t")])]))


def test_a_key_twice_is_refused(tmp_path):
    path = write_inventory(tmp_path, [objects_csv([("a/1.jpg", 1, "t"), ("a/2.jpg", 1, "t"), ("a/1.jpg", 2, "u")])])
    assert "1 key more than once: 'a/1.jpg'" in failure(path)


def test_orc_other_manifests_and_options_of_listings_are_refused(tmp_path):
    path = write_inventory(tmp_path, [], fileFormat="ORC")
    assert "in ORC cannot be read; configure one in Parquet or CSV" in failure(path)
    path.write_text('{"format_version": 1}')
    assert "expected a manifest of S3 Inventory" in failure(path)
    path.write_bytes(b"\xff{")
    assert "expected a manifest of S3 Inventory" in failure(path)
    path = write_inventory(tmp_path, [objects_csv([("a/1.jpg", 1, "t")])])
    assert "`label_column`" in failure(path, label_column="size")
    assert "`key_column`" in failure(path, key_column="key")


@pytest.fixture
def endpoint(monkeypatch):
    """A moto server with the buckets `photos` and `reports`."""
    server_module = pytest.importorskip("moto.server", reason="moto[server] is not installed")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "shardpacktest")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setattr(logging.getLogger("werkzeug"), "level", logging.ERROR)
    server = server_module.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    disconnect()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    disconnect()
    server.stop()


def test_an_inventory_in_a_bucket_gives_the_items_of_listing_its_prefix(endpoint, tmp_path):
    client = boto3.Session().client("s3", endpoint_url=endpoint)
    for name in ("photos", "reports"):
        client.create_bucket(Bucket=name)
    keys = [f"set/{name}" for name in (*ODD_NAMES, "empty/", "cat/.hidden.jpg", "dog/notes.txt")]
    for index, key in enumerate([*keys, "other/cat/1.jpg"]):
        client.put_object(Bucket="photos", Key=key, Body=b"x" * index)
    found = client.list_objects_v2(Bucket="photos")["Contents"]
    content = objects_csv([(entry["Key"], entry["Size"], entry["ETag"].strip('"')) for entry in found])
    report = manifest({"photos/all/data/0.csv.gz": content})
    client.put_object(Bucket="reports", Key="photos/all/data/0.csv.gz", Body=content)
    client.put_object(Bucket="reports", Key="photos/all/2026-01-02T01-00Z/manifest.json", Body=report)
    (tmp_path / "manifest.json").write_bytes(report)

    store = StoreOptions(endpoint_url=endpoint, timeout_s=5)
    expected = list_source(SourceSpec(source="s3://photos/set", store=store))
    assert len(expected.items) == len(ODD_NAMES)
    in_bucket = "s3://reports/photos/all/2026-01-02T01-00Z/manifest.json"
    for source in (in_bucket, str(tmp_path / "manifest.json")):
        listing = list_source(SourceSpec(source=source, root="s3://photos/set", store=store))
        assert listing == expected
    whole = list_source(SourceSpec(source=in_bucket, store=store))
    assert whole == list_source(SourceSpec(source="s3://photos", store=store))
    client.delete_object(Bucket="reports", Key="photos/all/data/0.csv.gz")
    assert "no such file" in failure(in_bucket, store=store)
    assert "no such object" in failure("s3://reports/photos/manifest.json", store=store)


def test_rows_that_are_alike_are_refused_at_once(tmp_path):
    rows = 200_000
    content = parquet_file(bucket=["photos"] * rows, key=["cat/1.jpg"] * rows, size=[1] * rows)
    path = tmp_path / "manifest.json"
    path.write_bytes(manifest({"data/1.parquet": content}, fileFormat="Parquet", fileSchema="message s {}"))
    (tmp_path / "1.parquet").write_bytes(content)
    assert "more than half of its keys are there more than once" in failure(path)
