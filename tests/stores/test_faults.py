"""A server that fails one request in ten, in each way that servers and networks do: the data show nothing of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from packer.errors import StoreError
from packer.pipeline import pack
from packer.specs import StoreOptions
from packer.stores import s3
from packer.stores.retry import RetryPolicy
from packer.stores.s3 import S3Store
from tests.sources.packed import write_tar, write_zip
from tests.stores.conftest import Bucket
from tests.stores.test_pack_buckets import download, lasting, upload
from tests.tools.datasets import SerialEngine, digests, image_bytes, make_options, pack_small, write_images
from tests.tools.faults_proxy import Fault, FaultsProxy, run_proxy

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("endpoint", ["moto"], indirect=True)]


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait less than a user's run does, for as many attempts."""
    monkeypatch.setattr(s3, "_POLICY", RetryPolicy(cap_s=0.2))


@pytest.fixture
def proxy(bucket: Bucket) -> Iterator[FaultsProxy]:
    with run_proxy(bucket.endpoint, seed=1) as proxy:
        yield proxy


@pytest.mark.parametrize("fault", list(Fault), ids=lambda fault: fault.name)
def test_packing_gives_the_bytes_of_a_disk(bucket: Bucket, proxy: FaultsProxy, fault: Fault, tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", 40)
    source = upload(bucket, images, "photos")
    pack_small(images, tmp_path / "local", allow_fill=True)
    proxy.fault = fault
    given = {"endpoint_url": proxy.endpoint, "timeout": 1, "allow_fill": True}
    result = pack(make_options(source, f"s3://{bucket.name}/packed", **given), engine=SerialEngine())
    assert proxy.num_faults >= 5
    assert result.manifest is not None
    assert result.manifest.rejects == {}
    assert lasting(digests(download(bucket, "packed", tmp_path / "down"))) == lasting(digests(tmp_path / "local"))


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.WRONG], ids=lambda fault: fault.name)
def test_packing_archives_gives_the_bytes_of_a_disk(
    bucket: Bucket, proxy: FaultsProxy, fault: Fault, tmp_path: Path
) -> None:
    """No digest guards ranges, so wrong bytes are left out: TLS alone finds them."""
    images = {f"c{n % 3}/{n}.jpg": image_bytes(n) for n in range(40)}
    write_tar(tmp_path / "sets", dict(list(images.items())[:20]))
    write_zip(tmp_path / "sets", dict(list(images.items())[20:]))
    source = upload(bucket, tmp_path / "sets", "sets")
    pack_small(tmp_path / "sets", tmp_path / "local", allow_fill=True)
    proxy.fault = fault
    given = {"endpoint_url": proxy.endpoint, "timeout": 1, "allow_fill": True}
    pack(make_options(source, f"s3://{bucket.name}/packed", **given), engine=SerialEngine())
    assert proxy.num_faults >= 5
    assert lasting(digests(download(bucket, "packed", tmp_path / "down"))) == lasting(digests(tmp_path / "local"))


@pytest.mark.parametrize("fault", [Fault.LOST_ANSWER, Fault.RESET, Fault.SLOW_DOWN], ids=lambda fault: fault.name)
def test_a_claim_that_was_answered_by_silence_is_known(bucket: Bucket, proxy: FaultsProxy, fault: Fault) -> None:
    store = S3Store(bucket.uri, StoreOptions(endpoint_url=proxy.endpoint, timeout_s=1))
    proxy.fault, proxy.share = fault, 0.5
    for number in range(6):
        assert store.put_if_absent(f"claim-{number}", [b"mine"])
    proxy.share = 0.3
    for number in range(6):
        assert not store.put_if_absent(f"claim-{number}", [b"another's"])
        assert store.get(f"claim-{number}") == b"mine"


def test_what_does_not_pass_is_told_in_one_line(
    bucket: Bucket, proxy: FaultsProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "_POLICY", RetryPolicy(base_s=0.01, budget_s=0.2))
    store = S3Store(bucket.uri, StoreOptions(endpoint_url=proxy.endpoint, timeout_s=1))
    proxy.fault, proxy.share = Fault.SLOW_DOWN, 1.0
    with pytest.raises(StoreError, match=r"^s3://\S+/k: cannot read it: status 503 SlowDown; tried \d+ times") as error:
        store.get("k")
    assert "\n" not in str(error.value)
    proxy.fault = Fault.RESET
    with pytest.raises(StoreError, match="cannot list it: the connection failed or stood still"):
        list(store.list())


def test_wrong_bytes_in_the_bucket_itself_are_an_error(
    bucket: Bucket, proxy: FaultsProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "_POLICY", RetryPolicy(base_s=0.01, budget_s=0.2))
    store = S3Store(bucket.uri, StoreOptions(endpoint_url=proxy.endpoint, timeout_s=1))
    store.put("k", [b"right"])
    proxy.fault, proxy.share = Fault.WRONG, 1.0
    with pytest.raises(StoreError, match="not those of its entity tag"):
        store.get("k")


def test_reads_overlap(bucket: Bucket, proxy: FaultsProxy) -> None:
    from packer.packing.fetch import fetch_ahead
    from packer.packing.sample import ItemRow

    store = S3Store(bucket.uri, StoreOptions(endpoint_url=proxy.endpoint))
    for number in range(64):
        bucket.put(f"some/prefix/{number}", b"x")
    items = [ItemRow(key=str(n), num_bytes=1, label=None, class_text="", member=None, extras={}) for n in range(64)]
    store.get("0")
    proxy.latency_s = 0.2
    assert list(fetch_ahead(store, items)) == [b"x"] * 64
    assert proxy.most_at_once >= 8  # 32 on a machine that has nothing else to do
