"""Buckets, for trainers that read and write them."""

from tests.stores.conftest import bucket, endpoint, moto_endpoint  # noqa: F401
