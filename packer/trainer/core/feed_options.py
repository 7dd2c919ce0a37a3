"""Options of the trainer that name data hosts, and the look-up of those hosts."""

from __future__ import annotations

import math
from typing import Annotated

import msgspec

from packer.channels.jobfiles import load_job_files
from packer.errors import OptionsError
from packer.loading.feed_source import (
    DEFAULT_PORT,
    DEFAULT_WAIT_S,
    TOKEN_VARIABLE,
    FeedSource,
    IfLost,
    find_hosts,
    parse_hosts,
)
from packer.trainer.core.recipe import about

_GROUP = "group:"


class FeedOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options for data hosts. None of them changes a batch."""

    feed: Annotated[
        str,
        about(
            "data hosts: host:port,host:port, a name that stands for several (Kubernetes), or group:NAME, an instance "
            "group of a SageMaker job (default: batches are made here)"
        ),
    ] = ""
    feed_token_file: Annotated[str, about(f"file with the data hosts' token (or the variable {TOKEN_VARIABLE})")] = ""
    feed_tls: Annotated[str, about("PEM file with the certificates to trust: data hosts are reached by TLS")] = ""
    feed_lost: Annotated[IfLost, about("when no data host answers any more: make batches here, or end")] = IfLost.LOCAL
    feed_wait: Annotated[float, about("seconds that data hosts are waited for at the start")] = DEFAULT_WAIT_S

    def __post_init__(self) -> None:
        if not 0 <= self.feed_wait < math.inf:
            raise OptionsError(f"expected at least 0 seconds, got {self.feed_wait:g}", field="feed_wait")
        if self.feed and not self.feed.startswith(_GROUP):
            parse_hosts(self.feed)
        for name in ("feed_token_file", "feed_tls"):
            if getattr(self, name) and not self.feed:
                raise OptionsError("expected it with `feed`, got it alone", field=name)

    def find(self, base_dir: str) -> FeedSource | None:
        """Look up the data hosts. Return None if this host makes its own batches.

        Args:
            base_dir: folder with the files of a SageMaker job.

        Raises:
            OptionsError: the job has no such instance group.
            DataSetError: a host name cannot be resolved.
        """
        if not self.feed:
            return None
        return FeedSource(
            hosts=find_hosts(self.names(base_dir), wait_s=self.feed_wait),
            token_file=self.feed_token_file,
            tls=self.feed_tls,
            if_lost=self.feed_lost,
            wait_s=self.feed_wait,
        )

    def names(self, base_dir: str) -> str:
        """Return ``host:port,host:port``. If `feed` names an instance group, a SageMaker job's files list its hosts.

        Raises:
            OptionsError: the job has no such instance group.
        """
        if not self.feed.startswith(_GROUP):
            return self.feed
        name, port = group_of_feed(self.feed), port_of_feed(self.feed)
        groups = {
            group.instance_group_name: group.hosts for group in load_job_files(base_dir).resources.instance_groups
        }
        if not groups.get(name):
            raise OptionsError(
                f"expected one of the job's instance groups ({', '.join(groups) or 'it has none'}), got {name!r}",
                field="feed",
            )
        return ",".join(f"{host}:{port or DEFAULT_PORT}" for host in sorted(groups[name]))


def group_of_feed(feed: str) -> str:
    """Return NAME of ``group:NAME`` or ``group:NAME:PORT``; empty for other forms of `feed`."""
    return feed.removeprefix(_GROUP).partition(":")[0] if feed.startswith(_GROUP) else ""


def port_of_feed(feed: str) -> str:
    """Return PORT of ``group:NAME:PORT``; empty if there is none."""
    return feed.removeprefix(_GROUP).partition(":")[2] if feed.startswith(_GROUP) else ""
