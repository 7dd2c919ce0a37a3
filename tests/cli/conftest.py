import os
from pathlib import Path

import pytest

from tests.stores.conftest import bucket, endpoint, moto_endpoint  # noqa: F401
from tests.tools.datasets import write_images


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 small images in three class folders; read it, never write to it."""
    return write_images(tmp_path_factory.mktemp("images"), 60)


@pytest.fixture(scope="session")
def sdk_python() -> str:
    """The interpreter, with version 2 of SageMaker's Python SDK, that SHARDPACK_SAGEMAKER_SDK names."""
    python = os.environ.get("SHARDPACK_SAGEMAKER_SDK")
    if not python:
        pytest.skip("SHARDPACK_SAGEMAKER_SDK names no Python that has SageMaker's SDK")
    return python
