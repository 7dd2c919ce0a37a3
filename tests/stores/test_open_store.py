import pytest

from packer.errors import OptionsError
from packer.stores.open_store import open_store


def test_unknown_scheme() -> None:
    with pytest.raises(OptionsError, match=r"gopher://: expected a path, s3:// or another scheme"):
        open_store("gopher://host/x")
