"""A rank's connection to one data host, over Arrow Flight."""

from __future__ import annotations

import os
import socket
import ssl
from typing import Any

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # it prints what is told in errors anyway; read when it is loaded

import pyarrow as pa
import pyarrow.flight as flight

from packer.errors import OptionsError
from packer.loading.batch_feed import MadeBatch, with_tuples
from packer.loading.batch_record import read_batch
from packer.loading.feed_request import (
    BEAT,
    CHECK,
    FINISH,
    STATISTICS,
    TOKEN_HEADER,
    FeedRequest,
    decode_problem,
    encode,
    error_of,
)
from packer.loading.feed_source import FeedHost, FeedSource, read_token
from packer.loading.slot_ring import Slot

_PROBE_S = 3.0
_RECONNECT_MS = 1000


class HostFailure(Exception):
    """A data host is gone, late, or could not make a batch: another one may."""


class FlightLink:
    """One connection; any thread may use it."""

    def __init__(self, host: FeedHost, source: FeedSource) -> None:
        """Nothing is sent yet. Raises OptionsError where token or certificates cannot be read."""
        self.host, self._source = host, source
        token = read_token(source.token_file)
        self._headers = [(TOKEN_HEADER.encode(), f"Bearer {token}".encode())] if token else []
        options: dict[str, Any] = {}
        if source.tls:
            options = {"tls_root_certs": _read_certificates(source.tls), "override_hostname": host.name}
        # A connection of its own: ranks of one process would share one, and with it its window of bytes.
        channel = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.initial_reconnect_backoff_ms", _RECONNECT_MS),
            ("grpc.max_reconnect_backoff_ms", _RECONNECT_MS),
        ]
        scheme = "grpc+tls" if source.tls else "grpc+tcp"
        self._client = flight.connect(f"{scheme}://{host}", generic_options=channel, **options)

    def check(self, request: FeedRequest, timeout_s: float) -> None:
        """Ask whether the host makes such batches. Raises HostFailure, and as `fetch`."""
        self._act(CHECK, encode(request), timeout_s)

    def fetch(self, request: FeedRequest, slot: Slot, timeout_s: float) -> MadeBatch:
        """Put a batch into a slot and return what is told of it, with slot number 0.

        Raises:
            HostFailure: it did not come within `timeout_s` seconds.
            DataSetError, OptionsError: it will never come, since the host reads another data set, or in another way.
        """
        try:
            reader = self._client.do_get(flight.Ticket(encode(request)), self._options(timeout_s))
            made = read_batch(reader.read_chunk().data, slot)
        except (pa.ArrowException, StopIteration, ValueError, OSError) as error:
            raise self._failure(error, timeout_s) from None
        return with_tuples(made)

    def beat(self, timeout_s: float) -> None:
        """Show and ask for a sign of life. Raises HostFailure."""
        self._act(BEAT, b"", timeout_s)

    def finish(self, timeout_s: float) -> None:
        """Tell the host that the training is over. Raises HostFailure."""
        self._act(FINISH, b"", timeout_s)

    def statistics(self, timeout_s: float) -> bytes:
        """Return HostStatistics as JSON. Raises HostFailure."""
        return self._act(STATISTICS, b"", timeout_s)

    def close(self) -> None:
        self._client.close()

    def explain(self) -> str:
        """Return why the host cannot be reached, as far as a connection of another kind can tell; otherwise nothing.

        Raises OptionsError where TLS is at fault.
        """
        host, tls = self.host, self._source.tls
        try:
            with socket.create_connection((host.address, host.port), timeout=_PROBE_S) as plain:
                context = ssl.create_default_context(cafile=tls or None)
                context.check_hostname = bool(tls)
                context.verify_mode = ssl.CERT_REQUIRED if tls else ssl.CERT_NONE
                with context.wrap_socket(plain, server_hostname=host.name):
                    pass
        except ssl.SSLCertVerificationError as error:
            raise OptionsError(
                f"data host {host}: its certificate is not trusted: {error.verify_message.rstrip('.')}; name the one "
                "that it was signed with",
                field="feed_tls",
            ) from None
        except ssl.SSLError:
            if tls:
                raise OptionsError(f"data host {host}: expected TLS, found none", field="feed_tls") from None
            return ""
        except OSError as error:
            return error.strerror or str(error)
        if not tls:
            raise OptionsError(f"data host {host}: it asks for TLS, and no certificates are given", field="feed_tls")
        return ""

    def _act(self, name: str, body: bytes, timeout_s: float) -> bytes:
        try:
            answer = list(self._client.do_action(flight.Action(name, body), self._options(timeout_s)))
        except (pa.ArrowException, ValueError, OSError) as error:
            raise self._failure(error, timeout_s) from None
        return answer[0].body.to_pybytes() if answer else b""

    def _options(self, timeout_s: float) -> flight.FlightCallOptions:
        return flight.FlightCallOptions(timeout=timeout_s, headers=self._headers)

    def _failure(self, error: BaseException, timeout_s: float) -> HostFailure:
        """Return what to raise for an error of Arrow, or raise a refusal."""
        problem = decode_problem(getattr(error, "extra_info", None))
        if problem is not None and problem.is_refusal:
            raise error_of(self.host, problem) from None
        if isinstance(error, flight.FlightUnauthenticatedError):
            raise OptionsError(
                f"data host {self.host}: it refused the token of this rank"
                if self._headers
                else f"data host {self.host}: it asks for a token, and none is given",
                field="feed_token_file",
            ) from None
        if problem is not None:
            return HostFailure(problem.text)
        if isinstance(error, flight.FlightTimedOutError):
            return HostFailure(f"no answer within {timeout_s:.3g} s")
        if isinstance(error, flight.FlightUnavailableError):
            return HostFailure("it cannot be reached")
        first_line = str(error).partition("\n")[0]
        return HostFailure(first_line or "its answer ended early")


def _read_certificates(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            content = file.read()
        ssl.create_default_context(cadata=content.decode("ascii"))
    except (OSError, ValueError) as error:
        raise OptionsError(f"{path}: expected certificates (PEM), but {error}", field="feed_tls") from None
    return content
