"""The clients of one bucket: botocore finds credentials, region and endpoint, once, for all of them.

botocore's session knows every way of signing in (variables, profiles, SSO, roles, instances), and its client every way
of naming an endpoint. Both are asked, and obstore, which moves the bytes, is given what they say.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import logging
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import botocore
import botocore.exceptions
import botocore.parsers
import botocore.session
from botocore.config import Config
from obstore.store import S3Store as Objects

from packer.errors import OptionsError, StoreAccessError, StoreError
from packer.specs import StoreOptions
from packer.stores.retry import TransientError
from packer.stores.s3errors import Failure, make_error, parse_code
from packer.stores.s3pages import PageError, parse_pages_ahead

if TYPE_CHECKING:
    from obstore.store import S3Credential

CLIENT_ERRORS = (
    *(botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError),
    *(botocore.parsers.ResponseParserError, PageError),
)
"""What boto3's client raises; `check_answer` says what to raise instead."""
NUM_IN_FLIGHT = 32
"""Requests that one process has in flight at most, by kind."""
_CREDENTIALS_AGE = timedelta(minutes=5)
"""How long obstore keeps credentials before it asks botocore again, which renews them 15 minutes before they end."""
_PATIENCE = 20
"""Timeouts that a whole request may take, however steadily its bytes move: 10 minutes with the default timeout."""
_SETUP = threading.Lock()
"""botocore's sessions and the making of clients are not safe for threads."""


@dataclass(frozen=True, slots=True, repr=False)
class Clients:
    """What talks to one bucket."""

    objects: Objects
    """Reads, and writes of small objects: a request that stands still for the timeout is given up."""
    bulk: Objects
    """Writes of large objects: while one is sent, nothing comes back, so only the whole request has a limit."""
    control: Any
    """botocore's client, for listings and all else that is not bytes. It never tries again by itself."""


@functools.lru_cache(maxsize=16)
def connect(bucket: str, options: StoreOptions) -> Clients:
    """Return this process's clients of a bucket; no request is made, but for credentials.

    Raises:
        OptionsError: the profile or the endpoint cannot be used.
        StoreAccessError: there are no credentials, or they cannot be had.
    """
    _silence_signatures()
    with _SETUP:
        session = _open_session(options)
        control = _open_control(session, options)
        provider = None if options.anonymous else _Credentials(session, bucket)
    endpoint, is_virtual = _find_endpoint(control, bucket)

    def create(*, read_timeout_s: int | None) -> Objects:
        client: Any = {
            "connect_timeout": f"{min(5, options.timeout_s)}s",
            "timeout": f"{_PATIENCE * options.timeout_s}s",
            "allow_http": endpoint.startswith("http://"),
        }
        if read_timeout_s is not None:
            client["read_timeout"] = f"{read_timeout_s}s"
        return Objects(
            bucket,
            config=_object_config(control.meta.region_name, endpoint, is_virtual, options),
            client_options=client,
            retry_config={"max_retries": 0},
            credential_provider=provider,
        )

    return Clients(objects=create(read_timeout_s=options.timeout_s), bulk=create(read_timeout_s=None), control=control)


class _Credentials:
    """Gives obstore the session's credentials, renewed by botocore when they run out."""

    def __init__(self, session: Any, bucket: str) -> None:
        self._bucket = bucket
        self._found = self._ask(session.get_credentials)
        if self._found is None:
            raise self._error("NoCredentials")
        self()

    def __call__(self) -> S3Credential:
        frozen = self._ask(self._found.get_frozen_credentials)
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.now(UTC) + _CREDENTIALS_AGE,
        }

    def _ask(self, call: Callable[[], Any]) -> Any:
        """Call, with any failure told without what the service answered."""
        try:
            return call()
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
            pass
        raise self._error("CredentialsFailed")

    def _error(self, code: str) -> Exception:
        return make_error(Failure(401, code), bucket=self._bucket, key="", action="reach")


def _open_session(options: StoreOptions) -> Any:
    """Return a session as boto3 makes one, without boto3, whose import costs as much again."""
    session = botocore.session.Session(profile=options.profile)
    try:
        session.get_scoped_config()
    except botocore.exceptions.ProfileNotFound:
        raise OptionsError(
            f"--profile: expected the name of an AWS profile of this machine, got {options.profile!r}"
        ) from None
    return session


def _open_control(session: Any, options: StoreOptions) -> Any:
    config = Config(
        connect_timeout=min(5, options.timeout_s),
        read_timeout=options.timeout_s,
        max_pool_connections=NUM_IN_FLIGHT,
        retries={"total_max_attempts": 1, "mode": "standard"},
        signature_version=botocore.UNSIGNED if options.anonymous else None,
    )
    try:
        client = session.create_client("s3", endpoint_url=options.endpoint_url, config=config)
    except ValueError:
        raise OptionsError(
            f"--endpoint-url: expected an address like https://host:port, got {_host(options)}"
        ) from None
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        problem = type(error).__name__
        raise StoreAccessError(f"AWS: the profile or its credentials cannot be used ({problem}); mend it") from None
    parse_pages_ahead(client)
    client.meta.events.register("before-call.s3.DeleteObjects", lambda **event: _add_digest(event["params"]))
    client.meta.events.register("before-parse.s3.DeleteObjects", lambda **event: _check_result(event["response_dict"]))
    client.meta.events.register("before-call.s3", lambda **event: _forbid_redirect(event["context"]))
    return client


def _forbid_redirect(context: dict[str, Any]) -> None:
    """Keep botocore from looking for a bucket in other regions, where obstore would not follow: it is told instead."""
    context.setdefault("s3_redirect", {})["redirected"] = True


def _add_digest(request: dict[str, Any]) -> None:
    """Add the MD5 of a request's body, which servers ask for that do not know the checksums of botocore yet."""
    digest = hashlib.md5(request["body"], usedforsecurity=False).digest()
    request["headers"]["Content-MD5"] = base64.b64encode(digest).decode()


def _check_result(answer: dict[str, Any]) -> None:
    """Raise PageError for an answer that says nothing of the deletion: to botocore, none failed."""
    if answer["status_code"] == 200 and b"DeleteResult" not in answer["body"]:
        raise PageError


def _host(options: StoreOptions) -> str:
    """Return an endpoint as it may be shown: without a user's name and password."""
    return re.sub(r"//[^/@]*@", "//", options.endpoint_url or "").partition("?")[0]


class _EndpointFoundError(Exception):
    """Stops a request before it is signed, with its address."""


def _find_endpoint(control: Any, bucket: str) -> tuple[str, bool]:
    """Return the address that boto3 would send requests about a bucket to, and whether the bucket is in its name.

    Raises:
        OptionsError: no such bucket can exist.
    """

    def stop(request: Any) -> None:
        raise _EndpointFoundError(request.url)

    handler = lambda **event: stop(event["request"])  # noqa: E731  botocore gives events by name, more in each release
    control.meta.events.register_first("before-sign.s3.HeadBucket", handler)
    try:
        control.head_bucket(Bucket=bucket)
    except _EndpointFoundError as found:
        url = urlsplit(str(found))
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        raise OptionsError(f"s3://{bucket}: the bucket's name cannot be used ({type(error).__name__})") from None
    finally:
        control.meta.events.unregister("before-sign.s3.HeadBucket", handler)
    is_virtual = url.netloc.startswith(bucket + ".")
    path = url.path.rstrip("/") if is_virtual else url.path.rstrip("/").removesuffix("/" + bucket)
    return f"{url.scheme}://{url.netloc}{path}", is_virtual


def _object_config(region: str, endpoint: str, is_virtual: bool, options: StoreOptions) -> Any:
    config: dict[str, Any] = {
        "region": "us-east-1" if region == "aws-global" else region,
        "endpoint": endpoint,
        "virtual_hosted_style_request": is_virtual,
        "skip_signature": options.anonymous,
        "request_payer": options.requester_pays,
    }
    if options.sse is not None:
        config["server_side_encryption"] = str(options.sse)
    if options.kms_key is not None:
        config["sse_kms_key_id"] = options.kms_key
    return config


def _silence_signatures() -> None:
    """Keep botocore from logging what it signs, sends and gets, whatever level the user's own logging has."""
    for name in ("botocore.auth", "botocore.endpoint", "botocore.parsers"):
        logging.getLogger(name).setLevel(logging.WARNING)


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
    if isinstance(error, (botocore.parsers.ResponseParserError, PageError)):
        return TransientError(f"s3://{bucket}/{key}: cannot {action} it: the answer is cut, or not one of S3")
    return StoreError(f"s3://{bucket}/{key}: cannot {action} it: {type(error).__name__}")
