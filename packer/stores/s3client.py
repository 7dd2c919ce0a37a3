"""The clients of one bucket: obstore, which moves the bytes, is given what botocore finds out."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import botocore.exceptions
import botocore.parsers
from obstore.store import S3Store as Objects

from packer.errors import StoreError
from packer.specs import Address, StoreOptions
from packer.stores.retry import TransientError
from packer.stores.s3account import NO_REGION, Account, forget_accounts, open_account
from packer.stores.s3errors import Failure, make_error, parse_code
from packer.stores.s3pages import PageError, WebPageError

CLIENT_ERRORS = (
    *(botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError),
    *(botocore.parsers.ResponseParserError, PageError, WebPageError),
)
"""What boto3's client raises; `check_answer` says what to raise instead."""
_PATIENCE = 20
"""Timeouts that a whole request may take, however steadily its bytes move: 10 minutes with the default timeout."""


@dataclass(frozen=True, slots=True, repr=False)
class Clients:
    """What talks to one bucket."""

    objects: Objects
    """Reads, and writes of small objects: a request that stands still for the timeout is given up."""
    bulk: Objects
    """Writes of large objects: while one is sent, nothing comes back, so only the whole request has a limit."""
    address: Address
    account: Account

    @property
    def control(self) -> Any:
        """See `Account.control`."""
        return self.account.control(self.address.region)


@functools.lru_cache(maxsize=16)
def connect(bucket: str, options: StoreOptions) -> Clients:
    """Return this process's clients of a bucket; no request is made, but for credentials and an unknown region.

    Raises:
        OptionsError: the profile or the endpoint cannot be used.
        StoreAccessError: there are no credentials, or they cannot be had.
    """
    account = open_account(options)
    provider = account.find_credentials(bucket)
    address = options.address
    if address is None or address.bucket != bucket:
        address = account.find_address(bucket)

    def create(*, read_timeout_s: int | None) -> Objects:
        client: Any = {
            "connect_timeout": f"{min(5, options.timeout_s)}s",
            "timeout": f"{_PATIENCE * options.timeout_s}s",
            "allow_http": address.endpoint.startswith("http://"),
        }
        if read_timeout_s is not None:
            client["read_timeout"] = f"{read_timeout_s}s"
        return Objects(
            bucket,
            config=_object_config(address, options),
            client_options=client,
            retry_config={"max_retries": 0},
            credential_provider=provider,
        )

    objects, bulk = create(read_timeout_s=options.timeout_s), create(read_timeout_s=None)
    return Clients(objects=objects, bulk=bulk, address=address, account=account)


def disconnect() -> None:
    """Let go of this process's clients, so that everything is found anew."""
    connect.cache_clear()
    forget_accounts()


def _object_config(address: Address, options: StoreOptions) -> Any:
    config: dict[str, Any] = {
        "region": "us-east-1" if address.region == NO_REGION else address.region,
        "endpoint": address.endpoint,
        "virtual_hosted_style_request": address.is_virtual,
        "skip_signature": options.anonymous,
        "request_payer": options.requester_pays,
    }
    if options.sse is not None:
        config["server_side_encryption"] = str(options.sse)
    if options.kms_key is not None:
        config["sse_kms_key_id"] = options.kms_key
    return config


def check_answer(error: Exception, *, bucket: str, key: str, action: str) -> Exception:
    """Return what to raise for an error of boto3's client."""
    if isinstance(error, botocore.exceptions.ClientError):
        answer = error.response
        code = parse_code(str(answer.get("Error", {}).get("Code", "")))
        status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        region = str(answer.get("Error", {}).get("Region", "") or headers.get("x-amz-bucket-region", ""))
        return make_error(Failure(status, code, region), bucket=bucket, key=key, action=action)
    if isinstance(error, (botocore.exceptions.NoCredentialsError, botocore.exceptions.PartialCredentialsError)):
        return make_error(Failure(401, "NoCredentials"), bucket=bucket, key=key, action=action)
    if isinstance(error, (botocore.exceptions.CredentialRetrievalError, botocore.exceptions.SSOError)):
        return make_error(Failure(401, "CredentialsFailed"), bucket=bucket, key=key, action=action)
    if isinstance(error, (botocore.exceptions.HTTPClientError, botocore.exceptions.IncompleteReadError)):
        return make_error(Failure(), bucket=bucket, key=key, action=action)
    if isinstance(error, WebPageError):
        return StoreError(
            f"s3://{bucket}: the answer is a web page, expected one of S3: set the endpoint to the S3 server's own "
            f"address, not to its console's or a proxy's that asks people to sign in"
        )
    if isinstance(error, (botocore.parsers.ResponseParserError, PageError)):
        return TransientError(f"s3://{bucket}/{key}: cannot {action} it: the answer is cut, or not one of S3")
    return StoreError(f"s3://{bucket}/{key}: cannot {action} it: {type(error).__name__}")
