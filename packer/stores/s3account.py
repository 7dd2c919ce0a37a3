"""An AWS account as botocore finds it, once for all buckets of a process: credentials, region, endpoint, a client.

botocore's session knows every way of signing in (variables, profiles, SSO, roles, instances), and its client every way
of naming an endpoint. The client is made only where it is needed: it costs 0.05 s and 35,000 objects that each run of
Python's garbage collector looks at.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import logging
import os
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3.session
import botocore
import botocore.exceptions
from botocore.config import Config

from packer.errors import OptionsError, StoreAccessError
from packer.specs import Address, StoreOptions
from packer.stores.s3errors import Failure, make_error
from packer.stores.s3pages import PageError, parse_pages_ahead

if TYPE_CHECKING:
    from obstore.store import S3Credential

NO_REGION = "aws-global"
"""What botocore calls it that no region is known. Requests are then signed for us-east-1."""
NUM_IN_FLIGHT = 32
"""Requests that one process has in flight at most, by kind."""
_CREDENTIALS_AGE = timedelta(minutes=5)
"""How long obstore keeps credentials before it asks botocore again, which renews them 15 minutes before they end."""
_SETUP = threading.RLock()
"""botocore's sessions and the making of clients are not safe for threads."""


def open_account(options: StoreOptions) -> Account:
    """Return this process's account for some options. Raises OptionsError for a profile that is not there."""
    own = StoreOptions(
        endpoint_url=options.endpoint_url,
        profile=options.profile,
        anonymous=options.anonymous,
        timeout_s=options.timeout_s,
    )
    with _SETUP:
        return _open_account(own)


@functools.lru_cache(maxsize=16)
def _open_account(options: StoreOptions) -> Account:
    _silence_signatures()
    return Account(options)


def forget_accounts() -> None:
    """Find everything anew from now on."""
    _open_account.cache_clear()


class Account:
    """A session of boto3. May be used by many threads."""

    def __init__(self, options: StoreOptions) -> None:
        self._options = options
        self._session = _open_session(options)
        # botocore itself reads AWS_DEFAULT_REGION alone, but AWS_REGION is what many of AWS's containers are given.
        self._region = self._session.region_name or os.environ.get("AWS_REGION", "")
        self._controls: dict[str, Any] = {}

    def control(self, region: str) -> Any:
        """Return botocore's client of a region, for listings and all else that is not bytes.

        It never tries again by itself. Without a region it is that for buckets anywhere, which finds few of them.

        Raises:
            OptionsError: the endpoint cannot be used.
            StoreAccessError: there are no credentials, or they cannot be had.
        """
        with _SETUP:
            if region not in self._controls:
                self._controls[region] = _open_control(self._session, self._options, region)
            return self._controls[region]

    def find_credentials(self, bucket: str) -> Callable[[], S3Credential] | None:
        """Return what gives credentials whenever it is called, or None for requests that are not signed.

        Raises:
            StoreAccessError: there are none, or they cannot be had; `bucket` is named in the text.
        """
        with _SETUP:
            return None if self._options.anonymous else _Credentials(self._session, bucket)

    def find_address(self, bucket: str) -> Address:
        """Return where boto3 would send requests about a bucket. Raises as `control`, also for impossible names.

        Where the user's settings name no region, the bucket's own is asked for.
        """
        with _SETUP:
            control = self.control(self._region)
            if not self._region:
                control = self.control(_ask_region(control, bucket))
            endpoint, is_virtual = _find_endpoint(control, bucket)
        return Address(bucket=bucket, region=control.meta.region_name, endpoint=endpoint, is_virtual=is_virtual)


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
    try:
        return boto3.session.Session(profile_name=options.profile)
    except botocore.exceptions.ProfileNotFound:
        raise OptionsError(
            f"expected the name of an AWS profile of this machine, got {options.profile!r}", field="profile"
        ) from None


def _open_control(session: Any, options: StoreOptions, region: str) -> Any:
    config = Config(
        connect_timeout=min(5, options.timeout_s),
        read_timeout=options.timeout_s,
        max_pool_connections=NUM_IN_FLIGHT,
        retries={"total_max_attempts": 1, "mode": "standard"},
        signature_version=botocore.UNSIGNED if options.anonymous else None,
    )
    try:
        client = session.client(
            "s3", region_name=_as_botocore_region(region), endpoint_url=options.endpoint_url, config=config
        )
    except ValueError:
        raise OptionsError(
            f"expected an address like https://host:port, got {_host(options)}", field="endpoint_url"
        ) from None
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        problem = type(error).__name__
        raise StoreAccessError(f"AWS: the profile or its credentials cannot be used ({problem}); mend it") from None
    parse_pages_ahead(client)
    client.meta.events.register("before-call.s3.DeleteObjects", lambda **event: _add_digest(event["params"]))
    client.meta.events.register("before-parse.s3.DeleteObjects", lambda **event: _check_result(event["response_dict"]))
    client.meta.events.register("before-call.s3", lambda **event: _forbid_redirect(event["context"]))
    return client


def _as_botocore_region(region: str) -> str | None:
    """Return None where there is no region: botocore does not take back what it calls that."""
    return None if region in ("", NO_REGION) else region


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


def _ask_region(control: Any, bucket: str) -> str:
    """Return the region that a server says a bucket is in, allowed or not; empty where it does not say."""
    try:
        answer = control.head_bucket(Bucket=bucket)
    except botocore.exceptions.ClientError as error:
        answer = error.response
    except botocore.exceptions.BotoCoreError:
        return ""
    region = str(answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("x-amz-bucket-region", ""))
    return region if re.fullmatch(r"[a-z0-9-]{1,32}", region) else ""


def _silence_signatures() -> None:
    """Keep botocore from logging what it signs, sends and gets, whatever level the user's own logging has."""
    for name in ("botocore.auth", "botocore.endpoint", "botocore.parsers"):
        logging.getLogger(name).setLevel(logging.WARNING)
