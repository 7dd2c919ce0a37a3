"""A rank's connection to one data host, over Arrow Flight."""

from __future__ import annotations

import os
import socket
import ssl
from typing import Any

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # gRPC would print what errors say anyway; it reads this on import

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
    """A data host is gone, late, or could not make a batch; another data host may succeed."""


class FlightLink:
    """One connection. Safe to use from any thread."""

    def __init__(self, host: FeedHost, source: FeedSource) -> None:
        """Prepare the connection; nothing is sent yet. Raises OptionsError if token or certificates cannot be read."""
        self.host, self._source = host, source
        token = read_token(source.token_file)
        self._headers = [(TOKEN_HEADER.encode(), f"Bearer {token}".encode())] if token else []
        options: dict[str, Any] = {}
        if source.tls:
            options = {"tls_root_certs": _read_certificates(source.tls), "override_hostname": host.name}
        # Without its own pool, links of one process would share a connection and its flow-control window.
        channel = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.initial_reconnect_backoff_ms", _RECONNECT_MS),
            ("grpc.max_reconnect_backoff_ms", _RECONNECT_MS),
        ]
        scheme = "grpc+tls" if source.tls else "grpc+tcp"
        self._client = flight.connect(f"{scheme}://{host}", generic_options=channel, **options)

    def check(self, request: FeedRequest, timeout_s: float) -> None:
        """Ask whether the host can make such batches. Raises as `fetch`."""
        self._act(CHECK, encode(request), timeout_s)

    def fetch(self, request: FeedRequest, slot: Slot, timeout_s: float) -> MadeBatch:
        """Fetch a batch into a slot and return the batch, with slot number 0.

        Raises:
            HostFailure: the batch did not arrive within `timeout_s` seconds.
            DataSetError, OptionsError: it will never arrive: the host reads another data set or has other settings.
        """
        try:
            reader = self._client.do_get(flight.Ticket(encode(request)), self._options(timeout_s))
            made = read_batch(reader.read_chunk().data, slot)
        except (pa.ArrowException, StopIteration, ValueError, OSError) as error:
            raise self._failure(error, timeout_s) from None
        return with_tuples(made)

    def beat(self, timeout_s: float) -> None:
        """Send a sign of life and wait for one. Raises as `fetch`."""
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
        """Try a plain connection and return why the host cannot be reached; empty if that finds no reason.

        Raises OptionsError if TLS is at fault.
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
        """Return the failure to raise for an error of Arrow. Raises DataSetError or OptionsError for a refusal."""
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
