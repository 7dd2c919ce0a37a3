"""Questions and commands that a person sends to data hosts, outside of training."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from packer.errors import DataSetError
from packer.loading.feed_source import FeedSource, find_hosts
from packer.loading.flight_link import FlightLink, HostFailure

_TIMEOUT_S = 10.0


def ask_hosts(names: str, token_file: str, tls: str, *, is_end: bool) -> Iterator[str]:
    """Yield one line for each data host: its statistics as JSON or, with `is_end`, that it ends.

    Raises:
        DataSetError: some hosts cannot be reached; all others were asked before.
        OptionsError: a host refuses the token, or its certificate is not trusted.
    """
    source = FeedSource(hosts=find_hosts(names, wait_s=0.0), token_file=token_file, tls=tls)
    missing = []
    for host in source.hosts:
        link = FlightLink(host, source)
        try:
            if is_end:
                link.finish(_TIMEOUT_S)
                yield f"{host} ends"
            else:
                made = msgspec.Raw(link.statistics(_TIMEOUT_S))
                yield msgspec.json.encode({"host": str(host), "made": made}).decode()
        except HostFailure as failure:
            missing.append(f"data host {host}: {link.explain() or failure}")
    if missing:
        raise DataSetError("; ".join(missing))
