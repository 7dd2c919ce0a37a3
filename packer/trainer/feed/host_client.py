"""Questions to data hosts that a person has, beside training."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from packer.errors import DataSetError
from packer.loading.feed_source import FeedSource, find_hosts
from packer.loading.flight_link import FlightLink, HostFailure

_TIMEOUT_S = 10.0


def ask_hosts(names: str, token_file: str, tls: str, *, is_end: bool) -> Iterator[str]:
    """Yield a line for each data host: what it made, as JSON, or that it ends.

    Raises:
        DataSetError: hosts cannot be reached; all others were asked.
        OptionsError: it refuses the token or is not trusted.
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
