import uuid
from pathlib import Path

import pytest

from packer.dataset.verify import manifest_shards
from packer.errors import OptionsError, StoreError
from packer.pipeline import pack
from packer.stores.base import Store
from packer.stores.open import open_store
from packer.stores.remote import RemoteStore
from tests.stores.contract import StoreContract
from tests.tools.datasets import SerialEngine, make_options, pack_small, write_images


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> Store:
        return RemoteStore(f"memory://{uuid.uuid4().hex}/data")

    def again(self, store: Store) -> Store:
        return open_store(store.uri)


def test_packing_in_memory_gives_the_bytes_of_a_disk(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", 12)
    source, dest = (f"memory://{uuid.uuid4().hex}/{name}" for name in ("photos", "packed"))
    for path in images.glob("*/*"):
        RemoteStore(source).put(str(path.relative_to(images)), [path.read_bytes()])
    pack(make_options(source, dest, allow_fill=True), engine=SerialEngine())
    local = pack_small(images, tmp_path / "packed", allow_fill=True)
    assert local.manifest is not None
    assert RemoteStore(dest).get("manifest.json") == (tmp_path / "packed/manifest.json").read_bytes()
    for _, shard in manifest_shards(local.manifest):
        assert RemoteStore(dest).get(shard.key) == (tmp_path / "packed" / shard.key).read_bytes()


def test_a_place_that_cannot_create_exclusively_refuses_the_claim() -> None:
    store = RemoteStore("local:///tmp/nothing-is-written-here")
    with pytest.raises(StoreError, match="cannot be DEST"):
        store.put_if_absent("k", [b"x"])


@pytest.mark.parametrize("uri", ["ftp://user:SECRET@host/a", "https://host/a?X-Amz-Signature=SECRET"])
def test_secrets_in_a_url_are_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(OptionsError) as error:
        open_store(uri)
    assert "SECRET" not in str(error.value)
    assert "no user, password or query" in str(error.value)
