import hashlib
import json
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest

from packer.errors import ClaimLostError, OptionsError, StoreAccessError, StoreError
from packer.specs import Encryption, StoreOptions
from packer.stores.open_store import open_store, share_options
from packer.stores.s3 import S3Store, parse_s3_uri
from packer.stores.s3account import open_account
from packer.stores.s3client import disconnect
from packer.stores.store import Store
from tests.stores.conftest import SECRETS, Bucket
from tests.stores.store_contract import StoreContract
from tests.tools.buckets import remove_bucket


class TestS3Store(StoreContract):
    @pytest.fixture
    def store(self, bucket: Bucket) -> Store:
        self.options = bucket.options
        return S3Store(bucket.uri, bucket.options)

    def again(self, store: Store) -> Store:
        return open_store(store.uri, self.options)

    def test_who_sleeps_between_look_and_write_replaces_nothing(self, store: Store) -> None:
        """The other run takes over and writes at the last moment before the request that follows the look."""
        first = self.own(store, "one")
        first.put("a", [b"old"])
        look = type(first).check_claim
        naps: list[int] = []

        def look_and_sleep(place: Store) -> None:
            look(place)
            if place is first and not naps:
                naps.append(1)
                second = self.own(self.again(store), "two")
                second.put("a", [b"theirs"])

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(first), "check_claim", look_and_sleep)
            with pytest.raises(ClaimLostError):
                first.put("a", [b"late"])
        assert store.get("a") == b"theirs"


def test_keys_lie_below_the_prefix(bucket: Bucket) -> None:
    store = S3Store(bucket.uri, bucket.options)
    store.put("train/a", [b"1"])
    bucket.put("some/prefix-of-another/a", b"1")
    bucket.put("some/prefix", b"1")
    bucket.put("some/prefix/", b"")
    assert set(bucket.list_keys()) >= {"some/prefix/train/a"}
    assert [info.key for info in store.list()] == ["train/a"]


def test_the_whole_bucket_is_a_store(bucket: Bucket) -> None:
    store = S3Store(f"s3://{bucket.name}", bucket.options)
    store.put("a", [b"1"])
    assert bucket.list_keys() == ["a"]
    assert store.uri == f"s3://{bucket.name}"
    assert [info.key for info in store.list()] == ["a"]


def test_shards_are_one_put(bucket: Bucket) -> None:
    """A multipart upload would show as a tag with a hyphen."""
    store = S3Store(bucket.uri, bucket.options)
    data = b"0123456789abcdef" * 1_500_000
    store.put("shard", [data[:10_000_000], data[10_000_000:]])
    (info,) = store.list()
    assert (info.num_bytes, info.etag) == (len(data), hashlib.md5(data).hexdigest())


@pytest.mark.parametrize("endpoint", ["real"], indirect=True)
@pytest.mark.slow
def test_listing_and_deleting_many_pages_and_folders(bucket: Bucket) -> None:
    expected = {f"c{n % 20}/{'deep/' * (n % 4)}{n:05d}.jpg": n % 7 for n in range(2_300)}
    store = S3Store(bucket.uri, bucket.options)
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda key: bucket.put(f"some/prefix/{key}", b"x" * expected[key]), expected))
    assert {info.key: info.num_bytes for info in store.list()} == expected
    assert sorted(info.key for info in store.list("c1")) == sorted(key for key in expected if key.startswith("c1"))
    store.delete_all(key for key in expected if not key.startswith("c1"))
    assert sorted(bucket.list_keys()) == sorted(f"some/prefix/{key}" for key in expected if key.startswith("c1"))


def test_a_listing_that_is_left_early_ends(bucket: Bucket) -> None:
    store = S3Store(bucket.uri, bucket.options)
    for number in range(30):
        bucket.put(f"some/prefix/c{number}/x", b"1")
    assert next(iter(store.list())).num_bytes == 1


def test_folder_marks_keep_their_slash_and_can_be_deleted(bucket: Bucket) -> None:
    store = S3Store(bucket.uri, bucket.options)
    bucket.put("some/prefix/train/", b"")
    assert [info.key for info in store.list()] == ["train/"]
    store.delete("train/")
    assert bucket.list_keys() == []


def test_keys_that_cannot_be_read_are_listed_and_refused(bucket: Bucket) -> None:
    store = S3Store(bucket.uri, bucket.options)
    bucket.put("some/prefix/a//b", b"1")
    assert [info.key for info in store.list()] == ["a//b"]
    with pytest.raises(StoreError, match=r"a//b.*rename it"):
        store.get("a//b")


@pytest.mark.parametrize("endpoint", ["real"], indirect=True)
def test_objects_that_may_not_be_deleted_are_told_and_the_others_gone(bucket: Bucket) -> None:
    store = S3Store(bucket.uri, bucket.options)
    for key in ("free/1", "free/2", "kept/1", "kept/2"):
        store.put(key, [b"1"])
    denied = {"Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject"}
    denied["Resource"] = f"arn:aws:s3:::{bucket.name}/some/prefix/kept/*"
    bucket.client.put_bucket_policy(
        Bucket=bucket.name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [denied]})
    )
    with pytest.raises(StoreAccessError, match=r"kept/1: may not delete it \(AccessDenied\).*; 1 more objects could"):
        store.delete_all(["free/1", "kept/1", "free/2", "kept/2"])
    assert sorted(info.key for info in store.list()) == ["kept/1", "kept/2"]


@pytest.mark.parametrize("endpoint", ["moto"], indirect=True)
def test_options_reach_the_server(bucket: Bucket) -> None:
    options = StoreOptions(
        endpoint_url=bucket.endpoint, storage_class="STANDARD_IA", tags=(("team", "vision"),), sse=Encryption.AES256
    )
    S3Store(bucket.uri, options).put("a", [b"1"])
    head = bucket.client.head_object(Bucket=bucket.name, Key="some/prefix/a")
    assert head["StorageClass"] == "STANDARD_IA"
    assert head["ServerSideEncryption"] == "AES256"
    tags = bucket.client.get_object_tagging(Bucket=bucket.name, Key="some/prefix/a")["TagSet"]
    assert tags == [{"Key": "team", "Value": "vision"}]


def test_shared_options_spare_another_process_the_search(bucket: Bucket) -> None:
    """Of two buckets each has its own address, though they may be asked about with the other's options."""
    options = share_options(bucket.uri, bucket.options)
    assert options.address is not None
    assert not [value for value in SECRETS.values() if value in repr(pickle.loads(pickle.dumps(options)))]
    disconnect()
    store = S3Store(bucket.uri, options)
    store.put("a", [b"1"])
    assert store.get("a") == b"1"
    assert not open_account(options)._controls
    bucket.client.create_bucket(Bucket=f"{bucket.name}-2")
    other = S3Store(f"s3://{bucket.name}-2", options)
    other.put("b", [b"2"])
    assert [info.key for info in store.list()] == ["a"]
    assert [info.key for info in other.list()] == ["b"]
    remove_bucket(bucket.client, f"{bucket.name}-2")
    assert share_options("/some/folder", bucket.options) == bucket.options


def test_uris() -> None:
    assert parse_s3_uri("s3://bucket/a/b/") == ("bucket", "a/b")
    assert parse_s3_uri("s3a://bucket") == ("bucket", "")
    assert open_store("s3n://bucket/a").uri == "s3://bucket/a"
    for uri in ("s3://key:SECRET@bucket/a", "s3:///a", "s3://bucket?X-Amz-Signature=SECRET", "s3://"):
        with pytest.raises(OptionsError) as error:
            open_store(uri)
        assert "SECRET" not in str(error.value)
