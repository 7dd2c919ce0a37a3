"""A client of one AWS service: sends operations by name, and turns errors into one line of text."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from packer.errors import JobError, OptionsError

_ATTEMPTS = 5
_HELP = {
    "NoCredentialsError": "; sign in first: the doctor of this program shows which credentials boto3 finds",
    "EndpointConnectionError": "; is the region right, and the network there?",
}


class AwsService:
    """A boto3 client of one AWS service."""

    def __init__(self, service: str, *, region: str | None, profile: str | None) -> None:
        """Make the client. Raises OptionsError if the profile does not exist or no region is known."""
        import boto3.session
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ProfileNotFound

        self._service = service
        config = Config(retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"})
        try:
            session = boto3.session.Session(profile_name=profile)
            self._client = session.client(service, region_name=region, config=config)
        except ProfileNotFound:
            raise OptionsError(
                f"expected the name of an AWS profile of this machine, got {profile!r}", field="profile"
            ) from None
        except (BotoCoreError, ValueError) as error:
            raise OptionsError(f"expected a region for {service}, but {error}", field="region") from None

    def send(self, operation: str, parameters: dict[str, Any]) -> Mapping[str, Any]:
        """Send an operation and return the answer.

        Raises:
            RefusedError: the service refused the operation.
            JobError: the service cannot be reached.
        """
        from botocore import xform_name
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer: Mapping[str, Any] = getattr(self._client, xform_name(operation))(**parameters)
        except ClientError as error:
            problem = error.response.get("Error", {})
            code = str(problem.get("Code", ""))
            raise RefusedError(f"{self._service} {operation}: {code}: {problem.get('Message', '')}", code) from None
        except BotoCoreError as error:
            name = type(error).__name__
            raise JobError(f"{self._service} {operation}: {error}{_HELP.get(name, '')}") from None
        return answer


class RefusedError(JobError):
    """A service refused an operation.

    Attributes:
        code: the service's error code.
    """

    def __init__(self, text: str, code: str) -> None:
        super().__init__(text, code)
        self.code = code

    def __str__(self) -> str:
        return str(self.args[0])


def find_region(region: str | None, profile: str | None) -> str | None:
    """Return the given region, or the one that boto3 finds for the profile; None if there is none.

    Raises OptionsError if the profile does not exist.
    """
    if region:
        return region
    import boto3.session
    from botocore.exceptions import ProfileNotFound

    try:
        return boto3.session.Session(profile_name=profile).region_name or os.environ.get("AWS_REGION")
    except ProfileNotFound:
        raise OptionsError(
            f"expected the name of an AWS profile of this machine, got {profile!r}", field="profile"
        ) from None
