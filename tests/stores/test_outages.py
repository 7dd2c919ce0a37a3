"""A place that fails in the middle: its own error ends the work, and nothing is said to be damaged."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from packer.dataset.destination import claim_destination
from packer.dataset.documentcheck import document_faults
from packer.dataset.load import load_manifest
from packer.dataset.plancheck import find_plan
from packer.dataset.planfile import load_shard_items
from packer.dataset.shardcheck import CheckContext, check_shard
from packer.errors import DataSetError, StoreError
from packer.options import parse_options
from packer.prepare import make_plan
from packer.progress import SilentProgress
from packer.resharding import reshard
from packer.specs import StoreOptions
from packer.stores import s3
from packer.stores.retry import RetryPolicy
from packer.stores.s3 import S3Store
from packer.verifying import verify
from tests.stores.conftest import Bucket
from tests.stores.test_pack_buckets import upload
from tests.tools.datasets import SerialEngine, make_options, pack_small, serial_run, write_images
from tests.tools.faults_proxy import Fault, FaultsProxy, run_proxy

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("endpoint", ["moto"], indirect=True)]

DOWN = r"^s3://\S+: cannot read it: status 503 SlowDown; tried \d+ times"


@pytest.fixture
def proxy(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultsProxy]:
    monkeypatch.setattr(s3, "_POLICY", RetryPolicy(base_s=0.01, budget_s=0.1))
    with run_proxy(bucket.endpoint, share=1.0) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small RecordIO data set, which has documents of every kind."""
    folder = tmp_path_factory.mktemp("packed")
    pack_small(write_images(folder / "images", 24), folder / "out", format="recordio")
    return folder / "out"


def reach(proxy: FaultsProxy) -> StoreOptions:
    return StoreOptions(endpoint_url=proxy.endpoint, timeout_s=1)


class FailsAtFirstTask(SerialEngine):
    """Goes on after something has failed."""

    def __init__(self, fail: Callable[[], None]) -> None:
        super().__init__()
        self._fail = fail

    def run(self, function, context, tasks, tick):
        self._fail()
        return super().run(function, context, tasks, tick)


def test_the_items_of_a_plan(bucket: Bucket, proxy: FaultsProxy, tmp_path: Path) -> None:
    """Of a plan that only cannot be read now nobody must be told to start anew."""
    options = make_options(write_images(tmp_path / "images", 24), f"s3://{bucket.name}/out")
    plan, document = make_plan(serial_run(options))
    store = S3Store(options.dest, reach(proxy))
    claim_destination(store, plan, document, overwrite=False)
    assert load_shard_items(store, document, 0).num_rows == 6
    proxy.fault = Fault.SLOW_DOWN
    with pytest.raises(StoreError, match=DOWN) as caught:
        load_shard_items(store, document, 0)
    assert "`overwrite=True`" not in str(caught.value)
    proxy.fault = None
    store.delete_all([info.key for info in store.list("meta/plan/")])
    with pytest.raises(DataSetError, match=r"the plan's items cannot be read .*; start anew with `overwrite=True`"):
        load_shard_items(store, document, 0)


def test_verifying(bucket: Bucket, proxy: FaultsProxy, packed: Path) -> None:
    uri = upload(bucket, packed, "packed")
    store = S3Store(uri, reach(proxy))
    manifest = load_manifest(store)
    plan = find_plan(store, manifest)
    assert plan is not None
    context = CheckContext(uri=uri, manifest=manifest, plan=plan, decode=False, store=reach(proxy))
    assert check_shard(context, 0, lambda items, size: None).faults == ()
    assert list(document_faults(store, manifest)) == []

    def fail() -> None:
        proxy.fault = Fault.SLOW_DOWN

    with pytest.raises(StoreError, match=DOWN):
        verify(uri, FailsAtFirstTask(fail), SilentProgress(), options=reach(proxy))
    with pytest.raises(StoreError, match=DOWN):
        list(document_faults(store, manifest))


@pytest.mark.parametrize("name", ["train/", "meta/index/train/train-00000", "meta/records/", "meta/plan/"])
def test_verifying_a_shard_of_which_only_some_files_can_be_read(
    bucket: Bucket, proxy: FaultsProxy, packed: Path, name: str
) -> None:
    uri = upload(bucket, packed, "packed")
    store = S3Store(uri, bucket.options)
    manifest = load_manifest(store)
    plan = find_plan(store, manifest)
    context = CheckContext(uri=uri, manifest=manifest, plan=plan, decode=False, store=reach(proxy))
    proxy.fault, proxy.only = Fault.SLOW_DOWN, f"/packed/{name}"
    with pytest.raises(StoreError, match=DOWN):
        check_shard(context, 0, lambda items, size: None)


def test_a_copy(bucket: Bucket, proxy: FaultsProxy, packed: Path, tmp_path: Path) -> None:
    uri = upload(bucket, packed, "packed")

    def fail() -> None:
        proxy.fault = Fault.SLOW_DOWN

    options = {"source": uri, "dest": str(tmp_path / "new"), "gpus": 2, "endpoint_url": proxy.endpoint, "timeout": 1}
    with pytest.raises(StoreError, match=DOWN):
        reshard(parse_options(options), engine=FailsAtFirstTask(fail))
    assert not (tmp_path / "new").exists()
