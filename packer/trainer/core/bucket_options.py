"""Command-line options for access to buckets."""

from __future__ import annotations

from typing import Annotated

import msgspec

from packer.specs import StoreOptions
from packer.trainer.core.recipe import about


class BucketOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of every command that can read from a bucket."""

    endpoint_url: Annotated[str, about("address of an S3 server (default: as boto3 finds it)")] = ""
    profile: Annotated[str, about("AWS profile (default: as boto3 finds it)")] = ""
    anonymous: Annotated[bool, about("read public data without credentials")] = False
    requester_pays: Annotated[bool, about("pay for requests")] = False
    timeout: Annotated[int, about("seconds a request to a bucket may stand still")] = 30

    def to_store(self) -> StoreOptions:
        """Return these options as `StoreOptions`. Raises OptionsError."""
        return StoreOptions(
            endpoint_url=self.endpoint_url or None,
            profile=self.profile or None,
            anonymous=self.anonymous,
            requester_pays=self.requester_pays,
            timeout_s=self.timeout,
        )
