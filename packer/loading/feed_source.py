"""The data hosts that feed a loader: their addresses and access, and the resolution of names to hosts."""

from __future__ import annotations

import enum
import math
import os
import socket
import time

import msgspec

from packer.errors import DataSetError, OptionsError

DEFAULT_PORT = 8815
TOKEN_VARIABLE = "SHARDPACK_FEED_TOKEN"
DEFAULT_WAIT_S = 60.0
_LOOK_AGAIN_S = 1.0
_MOST_TOKEN_BYTES = 4096


class IfLost(enum.StrEnum):
    """What a rank does if no data host answers any more."""

    LOCAL = "local"
    """Make the batches itself."""
    ERROR = "error"
    """End with an error."""


class FeedHost(msgspec.Struct, frozen=True):
    """One data host."""

    name: str
    """The name that the user gave; a certificate must be issued for it."""
    port: int
    address: str
    """The machine's address if the name has several addresses; otherwise the name."""

    def __str__(self) -> str:
        where = f"[{self.address}]" if ":" in self.address else self.address
        return f"{where}:{self.port}"


class FeedSource(msgspec.Struct, frozen=True, kw_only=True):
    """The data hosts of a loader. None of these values changes a batch."""

    hosts: tuple[FeedHost, ...]
    token_file: str = ""
    """File with the token that the data hosts require; if empty, the variable SHARDPACK_FEED_TOKEN holds it."""
    tls: str = ""
    """PEM file with the certificates to trust; if empty, connections do not use TLS."""
    if_lost: IfLost = IfLost.LOCAL
    wait_s: float = DEFAULT_WAIT_S
    """Seconds to wait for data hosts at the start."""

    def __post_init__(self) -> None:
        if not self.hosts:
            raise OptionsError("expected at least one data host, got none", field="feed")
        if not 0 <= self.wait_s < math.inf:
            raise OptionsError(f"expected at least 0 seconds, got {self.wait_s:g}", field="feed_wait")


def parse_hosts(text: str) -> tuple[tuple[str, int], ...]:
    """Return the names and ports in a list such as ``name:port,name,[::1]:port``. Raises OptionsError."""
    found = []
    for part in (part.strip() for part in text.split(",")):
        name, colon, port = part.rpartition(":")
        if not colon or part.endswith("]"):
            name, port = part, str(DEFAULT_PORT)
        is_port = port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16
        if not name.strip("[]") or not is_port or (":" in name and not name.startswith("[")):
            raise OptionsError(f"expected host:port,host:port,..., got {part!r}", field="feed")
        found.append((name.strip("[]"), int(port)))
    return tuple(found)


def find_hosts(text: str, *, wait_s: float = DEFAULT_WAIT_S) -> tuple[FeedHost, ...]:
    """Return the data hosts of a list of names. A name with several addresses (a Kubernetes service) gives several.

    For up to `wait_s` seconds, a name that cannot be resolved is tried again.

    Raises:
        OptionsError: the list has another form.
        DataSetError: a name cannot be resolved.
    """
    until_s = time.monotonic() + wait_s
    found: dict[FeedHost, None] = {}
    for name, port in parse_hosts(text):
        found.update(dict.fromkeys(_look_up(name, port, until_s)))
    return tuple(found)


def read_token(token_file: str) -> str:
    """Return the token of the file or, without a file, of the environment; empty if none is set.

    Raises OptionsError if the file cannot be read or the token is not printable ASCII.
    """
    if not token_file:
        token = os.environ.get(TOKEN_VARIABLE, "")
    else:
        try:
            with open(token_file, encoding="ascii") as file:
                token = file.read(_MOST_TOKEN_BYTES).strip()
        except (OSError, UnicodeDecodeError) as error:
            raise OptionsError(f"{token_file}: cannot read the token: {error}", field="feed_token_file") from None
        if not token:
            raise OptionsError(f"{token_file}: expected a token, found nothing", field="feed_token_file")
    if not (token.isascii() and token.isprintable()):
        raise OptionsError("the feed's token: expected printable ASCII on one line, got other characters")
    return token


def _look_up(name: str, port: int, until_s: float) -> list[FeedHost]:
    while True:
        try:
            found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            if time.monotonic() >= until_s:
                raise DataSetError(
                    f"data host {name!r}: the name is not known: {getattr(error, 'strerror', error)}"
                ) from None
            time.sleep(_LOOK_AGAIN_S)
            continue
        # A machine may have an IPv4 and an IPv6 address: that is one host.
        families = {entry[0] for entry in found}
        family = socket.AF_INET if socket.AF_INET in families else socket.AF_INET6
        addresses = sorted({str(entry[4][0]) for entry in found if entry[0] == family})
        if len(addresses) == 1:
            return [FeedHost(name, port, name)]
        return [FeedHost(name, port, address) for address in addresses]
