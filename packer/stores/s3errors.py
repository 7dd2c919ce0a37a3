"""What a failed request to S3 means, from its status and S3's code; nothing else of an answer gets into a message.

Answers of S3 repeat access keys and signatures, and clients' errors the addresses that they asked: neither is shown.
"""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass

from packer.errors import StoreAccessError, StoreError
from packer.stores.retry import TransientError
from packer.stores.store import ObjectNotFoundError

_TRANSIENT_STATUSES = frozenset({408, 409, 429, 500, 502, 503, 504})
_TRANSIENT_CODES = frozenset(
    {"RequestTimeout", "SlowDown", "InternalError", "BadDigest", "IncompleteBody", "XAmzContentSHA256Mismatch"}
    | {"Throttling", "ThrottlingException", "TooManyRequests", "RequestLimitExceeded", "ServiceUnavailable"}
)
_MISPLACED_CODES = frozenset(
    {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
)
_REFUSALS = {
    "ExpiredToken": "the credentials have expired: sign in again",
    "ExpiredTokenException": "the credentials have expired: sign in again",
    "TokenRefreshRequired": "the credentials have expired: sign in again",
    "InvalidToken": "the session token is not valid: sign in again",
    "InvalidAccessKeyId": "the access key is not known there: choose the right `profile` or keys",
    "SignatureDoesNotMatch": "the secret key does not belong to the access key: choose the right `profile` or keys",
    "RequestTimeTooSkewed": "this machine's clock is wrong by minutes: set it",
    "NoCredentials": (
        "no AWS credentials were found: set the AWS variables, choose a `profile`, sign in, or run where a role is "
        "given; a public SOURCE is read with `anonymous=True`"
    ),
    "CredentialsFailed": "the AWS credentials could not be had: sign in again, or mend the profile",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that failed: HTTP's status (0: there was no answer), S3's code, and the bucket's region if told."""

    status: int = 0
    code: str = ""
    region: str = ""


def parse_failure(text: str) -> Failure:
    """Return the failure that the text of an obstore error tells of."""
    status = re.search(r"status code: (\d{3})", text)
    code = re.search(r"<Code>(\w{1,64})</Code>", text)
    region = re.search(r"<Region>([a-z0-9-]{1,32})</Region>", text)
    if "External AWS credential provider" in text:
        return Failure(401, "CredentialsFailed")
    if "incorrectly configured region" in text:
        return Failure(301, "PermanentRedirect")
    return Failure(int(status[1]) if status else 0, code[1] if code else "", region[1] if region else "")


def parse_code(text: str) -> str:
    """Return a code as S3 has them; empty for anything else, which is not to be shown."""
    return text if re.fullmatch(r"\w{1,64}", text) and not text.isdecimal() else ""


def make_error(failure: Failure, *, bucket: str, key: str, action: str) -> Exception:
    """Return what to raise for a failed request.

    Args:
        failure: what the client told.
        bucket: its bucket.
        key: its whole key, or a prefix.
        action: what was asked for, such as ``read``.
    """
    where, code, status = f"s3://{bucket}/{key}".rstrip("/"), failure.code, failure.status
    if code in _REFUSALS:
        return StoreAccessError(f"{where}: cannot {action} it: {_REFUSALS[code]}")
    if code == "NoSuchBucket":
        return StoreError(f"s3://{bucket}: there is no such bucket; mend its name, or create it")
    if code in _MISPLACED_CODES or status in (301, 307, 308):
        region = f"in {failure.region}" if failure.region else "in another region or at another endpoint"
        return StoreError(
            f"s3://{bucket}: the bucket is {region}; set AWS_DEFAULT_REGION or the profile's region to the bucket's own"
        )
    if status == 404:
        return ObjectNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), where)
    if status in (401, 403):
        return StoreAccessError(
            f"{where}: may not {action} it ({code or 'AccessDenied'}); grant it, or choose another `profile`; without "
            f"s3:ListBucket this is also the answer for a key that is not there"
        )
    if status == 501:
        return StoreError(f"{where}: the server cannot {action} it ({code or 'NotImplemented'})")
    if not status or status in _TRANSIENT_STATUSES or code in _TRANSIENT_CODES:
        problem = f"status {status} {code}".rstrip() if status else "the connection failed or stood still"
        return TransientError(f"{where}: cannot {action} it: {problem}")
    return StoreError(f"{where}: cannot {action} it: the server refuses with status {status} {code}".rstrip())
