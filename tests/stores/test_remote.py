import uuid

import pytest

from packer.errors import OptionsError, StoreError
from packer.stores.base import Store
from packer.stores.open import open_store
from packer.stores.remote import RemoteStore
from tests.stores.contract import StoreContract


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> Store:
        return RemoteStore(f"memory://{uuid.uuid4().hex}/data")

    def again(self, store: Store) -> Store:
        return open_store(store.uri)


def test_a_place_that_cannot_create_exclusively_refuses_the_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    store = RemoteStore("local:///tmp/nothing-is-written-here")
    with pytest.raises(StoreError, match="cannot be DEST"):
        store.put_if_absent("k", [b"x"])


@pytest.mark.parametrize("uri", ["ftp://user:SECRET@host/a", "https://host/a?X-Amz-Signature=SECRET"])
def test_secrets_in_a_url_are_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(OptionsError) as error:
        open_store(uri)
    assert "SECRET" not in str(error.value)
    assert "no user, password or query" in str(error.value)
