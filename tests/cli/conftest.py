from pathlib import Path

import pytest

from tests.stores.conftest import bucket, endpoint, moto_endpoint  # noqa: F401
from tests.tools.datasets import write_images


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 small images in three class folders; read it, never write to it."""
    return write_images(tmp_path_factory.mktemp("images"), 60)
