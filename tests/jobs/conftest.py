from pathlib import Path

import pytest

from tests.tools.datasets import write_images
from tests.tools.submit import Submitter


@pytest.fixture(scope="session")
def submitter(tmp_path_factory: pytest.TempPathFactory) -> Submitter:
    return Submitter(tmp_path_factory.mktemp("elsewhere"))


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 small images in three class folders; read it, never write to it."""
    return write_images(tmp_path_factory.mktemp("images"), 60)
