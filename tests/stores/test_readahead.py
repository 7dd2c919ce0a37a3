"""Reading many small objects in order: by threads where a store is far, without where it is near."""

import threading
import time
from collections.abc import Generator
from pathlib import Path
from uuid import uuid4

import pyarrow.parquet as pq
import pytest

from packer.dataset.duplicates import count_duplicates
from packer.specs import StoreOptions
from packer.stores.fsspec_store import RemoteStore
from packer.stores.local_store import LocalStore
from packer.stores.readahead import read_in_order
from packer.stores.s3 import S3Store
from tests.dataset.record_tables import put_tables
from tests.stores.conftest import Bucket
from tests.tools.faults_proxy import run_proxy


@pytest.fixture
def far() -> RemoteStore:
    store = RemoteStore(f"memory://{uuid4().hex}")
    for number in range(100):
        store.put(str(number), [bytes([number])])
    return store


def test_results_come_in_order(far: RemoteStore) -> None:
    def read(number: int) -> bytes:
        time.sleep(0.01 * (number % 3 == 0))
        return far.get(str(number))

    assert list(read_in_order(far, range(100), read)) == [bytes([number]) for number in range(100)]
    assert list(read_in_order(far, (), read)) == []


def test_few_are_held(far: RemoteStore) -> None:
    started: list[int] = []
    results = read_in_order(far, range(100), started.append)
    assert isinstance(results, Generator)
    for num_taken in range(1, 6):
        next(results)
        assert len(started) <= num_taken + far.read_ahead
    results.close()
    assert len(started) < 100
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read-in-order")]


def test_an_error_comes_in_its_place(far: RemoteStore) -> None:
    results = read_in_order(far, ["0", "gone", "1"], far.get)
    assert next(results) == b"\0"
    with pytest.raises(FileNotFoundError, match="gone"):
        next(results)


def test_a_near_store_is_read_without_threads(tmp_path: Path) -> None:
    idents = set(read_in_order(LocalStore(tmp_path), range(9), lambda _: threading.get_ident()))
    assert idents == {threading.get_ident()}


@pytest.mark.slow
@pytest.mark.parametrize("endpoint", ["moto"], indirect=True)
def test_tables_of_a_bucket_are_read_many_at_a_time(bucket: Bucket, tmp_path: Path) -> None:
    near = LocalStore(tmp_path)
    keys = put_tables(near, [[number, number + 1] for number in range(64)])
    assert pq.read_table(tmp_path / keys[0]).num_rows == 2
    for key in keys:
        bucket.put(f"some/prefix/{key}", near.get(key))
    with run_proxy(bucket.endpoint, seed=1) as proxy:
        store = S3Store(bucket.uri, StoreOptions(endpoint_url=proxy.endpoint))
        store.get(keys[0])
        proxy.latency_s = 0.2
        found = count_duplicates(store, keys, num_items=128)
        assert proxy.most_at_once >= 8  # 32 on a machine that has nothing else to do
    assert found == count_duplicates(near, keys, num_items=128) == 63
