"""Serve the files of a folder on the loopback interface, as cheaply as Python can.

    python file_server.py FOLDER        prints the port, then serves until it is killed

One process, one event loop, one request a connection, which is what img2dataset makes. It knows GET of a plain name.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

_LARGEST_REQUEST_BYTES = 16_384


class _Connection(asyncio.Protocol):
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._request = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._request += data
        if b"\r\n\r\n" in self._request or len(self._request) > _LARGEST_REQUEST_BYTES:
            self._answer(self._request.split(b" ", 2)[1].decode().lstrip("/"))

    def _answer(self, name: str) -> None:
        path = self._folder / name
        body = path.read_bytes() if "/" not in name and path.is_file() else None
        status = "404 Not Found" if body is None else "200 OK"
        content = body or b""
        head = f"HTTP/1.0 {status}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(content)}\r\n\r\n"
        self._transport.write(head.encode())
        self._transport.write(content)
        self._transport.close()


async def _serve(folder: Path) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(folder), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
