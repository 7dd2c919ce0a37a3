"""Optional settings of a training job: tags, variables, network and times.

Each is a member of CreateTrainingJob that most jobs do not need.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from packer.errors import OptionsError


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettings:
    """Members that a request has only if they are set."""

    keep_alive_s: int | None = None
    """Seconds that instances wait for the next job of the same kind; this time is charged."""
    tags: tuple[tuple[str, str], ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    """Environment variables of the container."""
    network_isolation: bool = False
    """Containers can reach only each other over the network."""
    encrypt_traffic: bool = False
    """Traffic between instances is encrypted."""
    retries: int | None = None
    """How often SageMaker may restart the job after an internal error of SageMaker."""
    max_pending_s: int | None = None
    """Seconds that the job may wait for instances."""

    def add_to(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return a CreateTrainingJob request with these members added."""
        added = dict(request)
        if self.keep_alive_s is not None:
            added["ResourceConfig"] = {**added["ResourceConfig"], "KeepAlivePeriodInSeconds": self.keep_alive_s}
        if self.max_pending_s is not None:
            added["StoppingCondition"] = {**added["StoppingCondition"], "MaxPendingTimeInSeconds": self.max_pending_s}
        if self.tags:
            added["Tags"] = [{"Key": key, "Value": value} for key, value in self.tags]
        if self.environment:
            added["Environment"] = dict(self.environment)
        if self.network_isolation:
            added["EnableNetworkIsolation"] = True
        if self.encrypt_traffic:
            added["EnableInterContainerTrafficEncryption"] = True
        if self.retries is not None:
            added["RetryStrategy"] = {"MaximumRetryAttempts": self.retries}
        return added


NO_SETTINGS = JobSettings()


def parse_pairs(texts: Sequence[str], *, field: str, example: str) -> tuple[tuple[str, str], ...]:
    """Return the names and values of texts of the form ``NAME=VALUE``.

    Raises:
        OptionsError: a text has another form, or a name appears twice.
    """
    pairs = []
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise OptionsError(f"expected K=V such as {example}, got {text!r}", field=field)
        pairs.append((name, value))
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise OptionsError(f"expected each name once, got {twice!r} {names.count(twice)} times", field=field)
    return tuple(pairs)
