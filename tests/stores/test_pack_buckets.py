"""The whole way of the data with buckets at either end: the same bytes as on a disk."""

import hashlib
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from packer.channels.key_lists import build_key_lists
from packer.errors import DestinationTakenError, OptionsError, SourceChangedError, SourceError
from packer.pipeline import check_places, commit_parts, pack
from packer.progress import SilentProgress
from packer.resharding import reshard
from packer.sources.items import Listing, SourceSpec
from packer.sources.open_source import list_source
from packer.verifying import verify
from tests.stores.conftest import Bucket
from tests.tools.buckets import download_prefix, upload_folder
from tests.tools.datasets import (
    ROOT,
    SerialEngine,
    digests,
    make_options,
    pack_small,
    read_manifest,
    write_images,
    write_listing,
)

pytestmark = pytest.mark.slow

_PLACE_DEPENDENT = ("meta/plan.json", "meta/plan/", "meta/sagemaker/")
"""The claim names the places; the plan's items from a bucket have entity tags; SageMaker reads from buckets alone."""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("images"), 24)


@pytest.fixture(scope="module")
def packed(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the images give on disk."""
    dest = tmp_path_factory.mktemp("local") / "packed"
    pack_small(images, dest, split="train=0.8,val=0.2", allow_fill=True)
    return dest


def upload(bucket: Bucket, folder: Path, prefix: str) -> str:
    return upload_folder(bucket.client, bucket.name, folder, prefix)


def download(bucket: Bucket, prefix: str, folder: Path) -> Path:
    return download_prefix(bucket.client, bucket.name, prefix, folder)


def lasting(found: dict[str, str]) -> dict[str, str]:
    return {key: digest for key, digest in found.items() if not key.startswith(_PLACE_DEPENDENT)}


def options(bucket: Bucket, source: object, dest: object, **given: Any) -> Any:
    given = {"split": "train=0.8,val=0.2", "allow_fill": True, **given}
    return make_options(source, dest, endpoint_url=bucket.endpoint, timeout=5, **given)


def test_bucket_to_bucket_gives_the_bytes_of_a_disk(bucket: Bucket, images: Path, packed: Path, tmp_path: Path) -> None:
    source = upload(bucket, images, "photos")
    result = pack(options(bucket, source, f"s3://{bucket.name}/packed/"), engine=SerialEngine())
    assert result.dest == f"s3://{bucket.name}/packed"
    found = digests(download(bucket, "packed", tmp_path / "down"))
    assert lasting(found) == lasting(digests(packed))
    lists = {f"meta/sagemaker/L4/{split}{rank}.manifest" for split in ("train", "val") for rank in ("", 0, 1, 2, 3)}
    assert set(found) == set(digests(packed)) | lists
    manifest = read_manifest(packed)
    expected = build_key_lists(manifest, root=f"s3://{bucket.name}/packed", local_size=4)
    assert {key: hashlib.sha256(data).hexdigest() for key, data in expected.items()} == {k: found[k] for k in lists}


def test_parts_resume_reshard_and_verify(bucket: Bucket, images: Path, tmp_path: Path) -> None:
    source, dest = upload(bucket, images, "photos"), f"s3://{bucket.name}/packed"
    for part in ("0/2", "1/2"):
        assert pack(options(bucket, source, dest, part=part), engine=SerialEngine()).manifest is None
    with pytest.raises(DestinationTakenError):
        pack(options(bucket, source, dest), engine=SerialEngine())
    resumed = pack(options(bucket, source, dest, resume=True), engine=SerialEngine())
    assert resumed.num_reused == resumed.num_shards
    again = commit_parts(dest, bucket.options)
    assert again.manifest == resumed.manifest

    copied = f"s3://{bucket.name}/copy"
    reshard(options(bucket, dest, copied, split="train=1", gpus=2, format="recordio"), engine=SerialEngine())
    for uri in (dest, copied):
        assert verify(uri, SerialEngine(), SilentProgress(), decode=True, options=bucket.options).faults == ()

    assert {key for key in bucket.list_keys() if "/sagemaker/" in key and "val" not in key} == {
        *(f"packed/meta/sagemaker/L4/train{rank}.manifest" for rank in ("", 0, 1, 2, 3)),
        *(f"copy/meta/sagemaker/L2/train{rank}.manifest" for rank in ("", 0, 1)),
    }

    shard = next(key for key in bucket.list_keys() if key.startswith("packed/train/"))
    data = bytearray(bucket.client.get_object(Bucket=bucket.name, Key=shard)["Body"].read())
    data[len(data) // 2] ^= 1
    bucket.put(shard, bytes(data))
    (fault, *_) = verify(dest, SerialEngine(), SilentProgress(), options=bucket.options).faults
    assert shard.removeprefix("packed/") in fault


@pytest.mark.parametrize("endpoint", ["real"], indirect=True)
def test_resume_after_a_kill(bucket: Bucket, tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", 150)
    source, dest = upload(bucket, images, "photos"), f"s3://{bucket.name}/packed"
    given = ["--gpus", "6", "--resize", "24", "--allow-fill", "--workers", "1", "--endpoint-url", bucket.endpoint]
    command = [sys.executable, "-m", "packer", "pack", source, dest, *given]
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    while not any(key.startswith("packed/train/") for key in bucket.list_keys()):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert "packed/manifest.json" not in bucket.list_keys()
    subprocess.run([*command, "--resume"], cwd=ROOT, check=True, capture_output=True)

    pack_small(images, tmp_path / "local", gpus=6, allow_fill=True)
    found = digests(download(bucket, "packed", tmp_path / "down"))
    assert lasting(found) == lasting(digests(tmp_path / "local"))


def test_a_data_set_that_was_copied_to_another_prefix_has_the_lists_of_the_first(
    bucket: Bucket, images: Path, tmp_path: Path
) -> None:
    pack(options(bucket, images, f"s3://{bucket.name}/packed"), engine=SerialEngine())
    copied = upload(bucket, download(bucket, "packed", tmp_path / "down"), "copied")
    found = verify(copied, SerialEngine(), SilentProgress(), options=bucket.options).faults
    assert len(found) == 10
    assert all(f"expected the shards of {copied}, found another list; write it anew" in fault for fault in found)


def test_a_prefix_that_no_list_can_name_is_packed_to_without_lists(bucket: Bucket, images: Path) -> None:
    dest = f"s3://{bucket.name}/pa~cked"
    pack(options(bucket, images, dest), engine=SerialEngine())
    assert not any("/sagemaker/" in key for key in bucket.list_keys())
    assert verify(dest, SerialEngine(), SilentProgress(), options=bucket.options).faults == ()


def test_an_object_that_changed_since_the_plan_stops_the_run(bucket: Bucket, images: Path) -> None:
    source, dest = upload(bucket, images, "photos"), f"s3://{bucket.name}/packed"
    pack(options(bucket, source, dest, part="0/1000"), engine=SerialEngine())
    for key in [key for key in bucket.list_keys() if key.startswith("photos/")]:
        data = bytearray(bucket.client.get_object(Bucket=bucket.name, Key=key)["Body"].read())
        data[-1] ^= 1  # as many bytes as before
        bucket.put(key, bytes(data))
    with pytest.raises(SourceChangedError, match=r"photos/c\d/.*expected the entity tag .*`overwrite=True`"):
        pack(options(bucket, source, dest, resume=True), engine=SerialEngine())


def as_plain(listing: Listing) -> Any:
    table = listing.items.drop_columns([name for name in listing.items.column_names if name == "_etag"])
    return table.to_pylist(), listing.label_kind, listing.class_names, listing.notices


@pytest.mark.parametrize("flat", [False, True])
def test_a_prefix_lists_as_the_folder_does(bucket: Bucket, images: Path, tmp_path: Path, flat: bool) -> None:
    for key in (
        "c0/notes.txt",
        "c1/.hidden.jpg",
        "c2/.git/x.jpg",
        "c2/.git/y.jpg",
        "c2/@eaDir/x.jpg/thumb.jpg",
        "lost+found/x.jpg",
        ".DS_Store",
        "c9/only.txt",
        "z.csv",
    ):
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(b"x")
    for path in list(images.glob("*/*"))[:12]:
        target = tmp_path / path.relative_to(images).parent / "deep" / path.name.upper()
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    (tmp_path / "c8").mkdir()
    source = upload(bucket, tmp_path, "photos")
    bucket.put("photos/", b"")
    bucket.put("photos/c8/", b"")

    expected = list_source(SourceSpec(source=str(tmp_path), flat=flat))
    found = list_source(SourceSpec(source=source, flat=flat, store=bucket.options))
    assert as_plain(found) == as_plain(expected)
    assert found.root == source
    tags = {key: bucket.client.head_object(Bucket=bucket.name, Key=f"photos/{key}")["ETag"].strip('"')
            for key in found.items.column("key").to_pylist()}  # fmt: skip
    assert (
        dict(zip(found.items.column("key").to_pylist(), found.items.column("_etag").to_pylist(), strict=True)) == tags
    )


def test_a_prefix_above_the_class_folders_is_pointed_out(bucket: Bucket) -> None:
    for key in (
        "PetImages/cat/1.jpg",
        "PetImages/dog/1.jpg",
        "splits/train/1.jpg",
        "splits/val/1.jpg",
        "splits/x/1.csv",
    ):
        bucket.put(f"{key.partition('/')[0]}-set/{key.removeprefix('splits/')}", b"1")
    found = list_source(SourceSpec(source=f"s3://{bucket.name}/PetImages-set", store=bucket.options))
    assert "give 'SOURCE/PetImages'" in found.notices[-1]
    with pytest.raises(SourceError, match="the folders 'train', 'val' are named as splits and would become classes"):
        list_source(SourceSpec(source=f"s3://{bucket.name}/splits-set", store=bucket.options))


def test_listings_at_and_of_buckets(bucket: Bucket, images: Path, tmp_path: Path) -> None:
    source = upload(bucket, images, "photos")
    local = write_listing(tmp_path / "list.csv", images)
    text = local.read_text()
    bucket.put("photos/list.csv", text.encode())
    bucket.put("elsewhere/list.csv", text.replace("\nc", f"\n{source}/c").encode())
    expected = as_plain(list_source(SourceSpec(source=str(local), root=str(images))))
    for name, root in (
        (f"{source}/list.csv", None),
        (f"s3://{bucket.name}/elsewhere/list.csv", source),
        (local, source),
    ):
        found = list_source(SourceSpec(source=str(name), root=root, store=bucket.options))
        assert as_plain(found) == expected
        assert found.root == source
        assert all(found.items.column("_etag").to_pylist())

    bucket.put("photos/bad.csv", b"path,label\nc0/not-there.jpg,1\n")
    with pytest.raises(SourceError, match=r"photos/bad\.csv: 1 of 1 paths name no file below s3://.*not-there.*line 2"):
        list_source(SourceSpec(source=f"{source}/bad.csv", store=bucket.options))
    with pytest.raises(SourceError, match=r"absent\.csv: no such object"):
        list_source(SourceSpec(source=f"{source}/absent.csv", store=bucket.options))


def test_what_a_prefix_cannot_be(bucket: Bucket) -> None:
    spec = SourceSpec(source=f"s3://{bucket.name}/photos", store=bucket.options)
    with pytest.raises(SourceError, match="nothing there"):
        list_source(spec)
    bucket.put("photos/a/x.jpg", b"1")
    bucket.put("photos/y.jpg", b"1")
    with pytest.raises(SourceError, match="1 image beside 1 class folder"):
        list_source(spec)
    bucket.put("photos/a//x.jpg", b"1")
    with pytest.raises(SourceError, match="a//x.jpg: a key with an empty part"):
        list_source(spec)
    bucket.client.delete_object(Bucket=bucket.name, Key="photos/a//x.jpg")


def test_places_that_overlap() -> None:
    for source, dest in (
        ("s3://b/photos", "s3://b/photos/packed"),
        ("s3a://b/x/y", "s3://b/x"),
        ("s3://b", "s3://b/p"),
    ):
        with pytest.raises(OptionsError, match="apart from the source"):
            check_places(make_options(source, dest))
    check_places(make_options("s3://b/photos", "s3://b/photos-packed"))
    check_places(make_options("s3://b/photos", "photos"))
