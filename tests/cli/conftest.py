from pathlib import Path

import pytest

from tests.stores.conftest import bucket, endpoint, moto_endpoint  # noqa: F401
from tests.tools.datasets import write_images

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 small images in three class folders; read it, never write to it."""
    return write_images(tmp_path_factory.mktemp("images"), 60)


@pytest.fixture(scope="session")
def sdk_python() -> str:
    """An interpreter that has version 2 of SageMaker's Python SDK."""
    path = ROOT / ".venv-sdk/bin/python"
    if not path.exists():
        pytest.skip("no environment with SageMaker's Python SDK: make .venv-sdk/.installed")
    return str(path)
