"""AWS as moto's server plays it: it takes requests as AWS does, and runs nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from packer.stores.s3client import disconnect
from tests.stores.conftest import SECRETS, moto_endpoint  # noqa: F401
from tests.tools.buckets import remove_bucket

BUCKET = "jobs-of-tests"
ROLE = "arn:aws:iam::123456789012:role/shardpack"


@pytest.fixture
def aws(moto_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:  # noqa: F811
    """A session of boto3 whose every service is moto's, as is this process's environment, with an empty bucket."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    settings = {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": moto_endpoint,
    }
    settings |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    for name, value in {**SECRETS, **settings}.items():
        monkeypatch.setenv(name, value)
    disconnect()
    session = boto3.Session()
    client = session.client("s3")
    client.create_bucket(Bucket=BUCKET)
    yield session
    disconnect()
    remove_bucket(client, BUCKET)


@pytest.fixture
def pack_file(tmp_path: Path) -> Path:
    """Options of pack whose places a cluster reaches."""
    path = tmp_path / "pack.yaml"
    path.write_text("source: s3://photos/all\ndest: s3://photos/packed\ngpus: 16\nsplit: {train: 0.9, val: 0.1}\n")
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Stands for an archive of an environment, which nothing here unpacks."""
    path = tmp_path / "environment.tar.gz"
    path.write_bytes(b"archive")
    return path
