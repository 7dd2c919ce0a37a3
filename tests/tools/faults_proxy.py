"""A proxy before an S3 server that fails some of the requests, in one way at a time, or makes all of them slow.

It reads whole requests and answers, so it can cut them where it wants. Which requests fail is drawn from a seed.
"""

from __future__ import annotations

import asyncio
import random
import sys
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from urllib.parse import urlsplit


class Fault(Enum):
    SLOW_DOWN = "503 with S3's SlowDown"
    ERROR = "500 with S3's InternalError"
    RESET = "connection closed before any answer, the request not passed on"
    LOST_ANSWER = "connection closed before any answer, the request carried out"
    RESET_IN_BODY = "connection closed in the middle of the body"
    STALL = "nothing more is sent, the connection stays open"
    SHORT = "half of the body under a Content-Length that says so"
    WRONG = "one bit of the body is another"


@dataclass
class FaultsProxy:
    """Settings may be changed while it runs."""

    target: str
    fault: Fault | None = None
    share: float = 0.1
    only: str = ""
    """What is in the path of requests that fail."""
    latency_s: float = 0.0
    seed: int = 0
    num_faults: int = 0
    num_requests: int = 0
    most_at_once: int = 0
    """Requests that waited for `latency_s` at the same time."""
    port: int = 0
    _num_waiting: int = 0
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one client connection, over one connection to the server."""
        url = urlsplit(self.target)
        upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        try:
            while True:
                head, body = await _read_message(reader)
                self.num_requests += 1
                if self.latency_s:
                    await self._wait()
                fault = self._draw(head)
                if fault is Fault.RESET:
                    return
                if fault in (Fault.SLOW_DOWN, Fault.ERROR):
                    writer.write(_error_answer(fault))
                    await writer.drain()
                    continue
                if upstream is None:
                    upstream = await asyncio.open_connection(url.hostname, url.port, limit=1 << 20)
                upstream[1].write(head + body)
                await upstream[1].drain()
                answer = await _read_message(upstream[0], is_head=head.startswith(b"HEAD "))
                if not await _send(writer, *answer, fault):
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            for each in (writer, upstream[1] if upstream else None):
                if each is not None:
                    each.transport.abort()

    async def _wait(self) -> None:
        self._num_waiting += 1
        self.most_at_once = max(self.most_at_once, self._num_waiting)
        try:
            await asyncio.sleep(self.latency_s)
        finally:
            self._num_waiting -= 1

    def _draw(self, head: bytes) -> Fault | None:
        if self.fault is None or self._random.random() >= self.share:
            return None
        if self.only.encode() not in head.partition(b"\r\n")[0]:
            return None
        if self.fault in (Fault.SHORT, Fault.WRONG, Fault.RESET_IN_BODY) and not head.startswith(b"GET "):
            return None  # other answers have no body to damage
        if self.fault is Fault.WRONG and b"?list-type" in head.partition(b"\r\n")[0]:
            return None  # a listing has no digest: TLS alone guards it
        self.num_faults += 1
        return self.fault


async def _read_message(reader: asyncio.StreamReader, *, is_head: bool = False) -> tuple[bytes, bytes]:
    """Return a request or answer as its head, with the last empty line, and its body as it was sent."""
    head = await reader.readuntil(b"\r\n\r\n")
    while head.startswith(b"HTTP/1.1 100"):
        head = await reader.readuntil(b"\r\n\r\n")
    lines = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in head.split(b"\r\n"))
    }
    if is_head or head.startswith((b"HTTP/1.1 204", b"HTTP/1.1 304")):
        return head, b""
    if lines.get(b"transfer-encoding", b"").lower() == b"chunked":
        return head, await _read_chunks(reader)
    if head.startswith((b"GET ", b"HEAD ", b"DELETE ")) and b"content-length" not in lines:
        return head, b""
    return head.replace(b"Expect: 100-continue\r\n", b""), await reader.readexactly(
        int(lines.get(b"content-length", 0))
    )


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while True:
        size = await reader.readuntil(b"\r\n")
        data = await reader.readexactly(int(size.split(b";")[0], 16) + 2)
        parts += [size, data]
        if data == b"\r\n":
            return b"".join(parts)


async def _send(writer: asyncio.StreamWriter, head: bytes, body: bytes, fault: Fault | None) -> bool:
    """Send an answer, whole or not; return whether the connection goes on."""
    half = len(body) // 2
    if fault is Fault.LOST_ANSWER:
        return False
    if fault is Fault.WRONG and body:
        body = body[:half] + bytes([body[half] ^ 4]) + body[half + 1 :]
    if fault is Fault.SHORT:
        head, body = head.replace(b"%d" % len(body), b"%d" % half, 1), body[:half]
    if fault in (Fault.RESET_IN_BODY, Fault.STALL):
        writer.write(head + body[:half])
        await writer.drain()
        if fault is Fault.STALL:
            await asyncio.sleep(3600)
        return False
    writer.write(head + body)
    await writer.drain()
    return True


def _error_answer(fault: Fault) -> bytes:
    status, code = (b"503 Slow Down", b"SlowDown") if fault is Fault.SLOW_DOWN else (b"500 Error", b"InternalError")
    body = b"<?xml version='1.0'?><Error><Code>" + code + b"</Code></Error>"
    return b"HTTP/1.1 %s\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


@contextmanager
def run_proxy(target: str, **settings: Any) -> Iterator[FaultsProxy]:
    """Run a proxy before the server at `target` in a thread of its own."""
    proxy = FaultsProxy(target, **settings)
    loop = asyncio.new_event_loop()

    async def start() -> asyncio.Server:
        return await asyncio.start_server(proxy.serve, "127.0.0.1", 0, limit=1 << 20, backlog=1024)

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = _wait(loop, start())
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        _wait(loop, _stop(server))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _stop(server: asyncio.Server) -> None:
    server.close()
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks, return_exceptions=True)


def _wait(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run_coroutine_threadsafe(work, loop).result(timeout=30)


def main() -> None:
    """``python -m tests.tools.faults_proxy TARGET LATENCY_MS``: print the proxy's address and serve until killed."""
    with run_proxy(sys.argv[1], latency_s=float(sys.argv[2]) / 1000) as proxy:
        print(proxy.endpoint, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
