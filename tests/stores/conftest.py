"""Buckets on moto's server, which needs nothing but its package, and on the server that SHARDPACK_S3 names."""

import functools
import logging
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from packer.specs import StoreOptions
from packer.stores.s3client import disconnect
from tests.tools.buckets import list_keys_of, remove_bucket

SECRETS = {"AWS_ACCESS_KEY_ID": "AKIDshardpacktest", "AWS_SECRET_ACCESS_KEY": "wJalrSECRETshardpacktest"}


@dataclass(frozen=True)
class Bucket:
    """An empty bucket, and boto3 as an independent view of it."""

    name: str
    endpoint: str
    client: Any

    @property
    def uri(self) -> str:
        return f"s3://{self.name}/some/prefix"

    @property
    def options(self) -> StoreOptions:
        return StoreOptions(endpoint_url=self.endpoint, timeout_s=5)

    def list_keys(self) -> list[str]:
        return list_keys_of(self.client, self.name)

    def put(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=data)


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[str]:
    """A moto server in this process."""
    server_module = pytest.importorskip("moto.server", reason="moto[server] is not installed")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = server_module.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["moto", "real"])
def endpoint(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an S3 server, with keys for it in the environment."""
    if request.param == "real":
        return request.getfixturevalue("s3_endpoint")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    return request.getfixturevalue("moto_endpoint")


@pytest.fixture
def bucket(endpoint: str) -> Iterator[Bucket]:
    """A new, empty bucket."""
    disconnect()
    client = _client(endpoint)
    name = f"test-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=name)
    yield Bucket(name, endpoint, client)
    disconnect()
    remove_bucket(client, name)


@functools.cache
def _client(endpoint: str) -> Any:
    """Making one costs half a second; each endpoint has the same keys in all tests."""
    return boto3.Session().client("s3", endpoint_url=endpoint)
