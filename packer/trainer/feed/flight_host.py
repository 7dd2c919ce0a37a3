"""The data host on the network: an Arrow Flight server over `BatchHost`."""

from __future__ import annotations

import hmac
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.flight as flight

from packer.errors import NewerVersionError, OptionsError, PackerError, WorkerError
from packer.loading.batch import lease_images
from packer.loading.batch_record import SCHEMA, write_batch
from packer.loading.feed_request import (
    BEAT,
    CHECK,
    FINISH,
    STATISTICS,
    TOKEN_HEADER,
    decode_request,
    problem_of,
)
from packer.loading.feed_source import read_token
from packer.trainer.feed.batch_host import BatchHost, RefusedError
from packer.trainer.feed.host_options import HostOptions

_TOKEN = "token"


class FlightHost(flight.FlightServerBase):  # type: ignore[misc]
    """Answers ranks until one says that training is over."""

    def __init__(self, host: BatchHost, options: HostOptions) -> None:
        """Start to listen.

        Raises:
            OptionsError: the token, the certificate or the address cannot be used.
        """
        self._host = host
        self.is_finished = threading.Event()
        token = read_token(options.token_file)
        where = f"[{options.bind}]" if ":" in options.bind else options.bind
        scheme = "grpc+tls" if options.tls_cert else "grpc+tcp"
        try:
            super().__init__(
                f"{scheme}://{where}:{options.port}",
                middleware={_TOKEN: _TokenCheck(token)} if token else None,
                tls_certificates=[_read_pair(options)] if options.tls_cert else None,
            )
        except (pa.ArrowException, OSError, ValueError) as error:
            raise OptionsError(
                f"cannot listen on {where}:{options.port}: the address is not this machine's, the port is taken, or "
                f"certificate and key do not fit ({str(error).partition(chr(10))[0]})",
                field="port",
            ) from None

    def do_get(self, context: Any, ticket: Any) -> Any:
        """Return the batch that a ticket asks for, as an Arrow stream. Raises FlightServerError."""
        self._host.hear()
        with _sending_errors():
            request = decode_request(ticket.ticket)
            if request.place is None:
                raise OptionsError("expected the place of a batch, got none")
            batch = self._host.make(request, request.place, context.is_cancelled)
            # The slot becomes free when gRPC releases its memory.
            images = lease_images(batch.slot.images, batch.release)
            return flight.GeneratorStream(SCHEMA, iter([write_batch(batch.slot, images, batch.made)]))

    def do_action(self, context: Any, action: Any) -> Iterator[bytes]:
        """Answer a question or take a message. Raises FlightServerError."""
        self._host.hear()
        with _sending_errors():
            return iter(self._answer(action.type, action.body.to_pybytes()))

    def _answer(self, kind: str, body: bytes) -> Sequence[bytes]:
        if kind == CHECK:
            self._host.check(decode_request(body))
        elif kind == FINISH:
            self.is_finished.set()
        elif kind == STATISTICS:
            return [msgspec.json.encode(self._host.statistics())]
        elif kind != BEAT:
            raise OptionsError(f"expected a request of a shardpack loader, got {kind!r}")
        return [b""]


class _sending_errors:
    """Turns errors of the body into errors that Flight sends to the rank."""

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, PackerError):
            is_refusal = isinstance(error, RefusedError | OptionsError | NewerVersionError)
            raise flight.FlightServerError(str(error)[:200], problem_of(error, is_refusal=is_refusal)) from None
        if isinstance(error, Exception):
            unforeseen = WorkerError(f"{type(error).__name__}: {error}")
            raise flight.FlightServerError(str(unforeseen)[:200], problem_of(unforeseen, is_refusal=False)) from error


class _TokenCheck(flight.ServerMiddlewareFactory):  # type: ignore[misc]
    """Refuses calls without the token."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self._expected = f"Bearer {token}".encode()

    def start_call(self, info: Any, headers: Mapping[str, Sequence[str | bytes]]) -> None:
        for found in headers.get(TOKEN_HEADER, ()):
            given = found.encode() if isinstance(found, str) else found
            if hmac.compare_digest(given, self._expected):
                return
        raise flight.FlightUnauthenticatedError("expected this data host's token")


def _read_pair(options: HostOptions) -> tuple[bytes, bytes]:
    """Return the bytes of the certificate and of its key. Raises OptionsError."""
    parts = []
    for name in ("tls_cert", "tls_key"):
        path = getattr(options, name)
        try:
            with open(path, "rb") as file:
                parts.append(file.read())
        except OSError as error:
            raise OptionsError(f"{path}: cannot be read: {error.strerror}", field=name) from None
    return parts[0], parts[1]
