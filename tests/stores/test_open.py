import pytest

from packer.errors import OptionsError
from packer.stores.open import open_store


def test_unknown_scheme() -> None:
    with pytest.raises(OptionsError, match=r"gopher://host/x: expected .* got scheme 'gopher'"):
        open_store("gopher://host/x")
