"""One client of one service of AWS: sends operations by name, and puts what goes wrong in one line."""

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
    """A client of boto3."""

    def __init__(self, service: str, *, region: str | None, profile: str | None) -> None:
        """Make the client. Raises OptionsError where there is no such profile, or no region is known."""
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
            JobError: the service refused, or cannot be reached; `code` in its arguments is the service's word for it.
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
    """A service answered that it will not do something.

    Attributes:
        code: the service's word for why.
    """

    def __init__(self, text: str, code: str) -> None:
        super().__init__(text, code)
        self.code = code

    def __str__(self) -> str:
        return str(self.args[0])


def find_region(region: str | None, profile: str | None) -> str | None:
    """Return the region that was given, or that boto3 finds for the profile; None where there is none."""
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
