"""Where AWS credentials come from, without the credentials."""

from __future__ import annotations

import boto3.session
import botocore.exceptions


def find_credentials_source(profile: str | None = None) -> str | None:
    """Return boto3's name of the source, such as ``env`` or ``shared-credentials-file``; None where there is none."""
    try:
        found = boto3.session.Session(profile_name=profile).get_credentials()
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
        return None
    return None if found is None else str(found.method)
