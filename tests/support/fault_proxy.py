"""Servers on loopback for tests of reading: one of plain files, and one that spoils answers.

`FaultProxy` stands before any HTTP server, S3 included. Which answer it spoils, and how, is drawn
from a seed, the request and how often that was made: a run meets the same faults each time. After
some faults in a row the answer comes through, so that a patient reader gets everything.
"""

import http.client
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

BROKEN_OFF = ("unavailable", "reset", "truncated", "stall", "drip")
SILENT = ("short", "flipped")
"""Nothing but a digest tells, so they befall ranges of shards and of their indexes alone."""

IN_THE_BODY = ("truncated", "drip")
FAULTS = (*BROKEN_OFF, *SILENT)

_REFUSAL = (
    b"<?xml version='1.0'?><Error><Code>InvalidAccessKeyId</Code>"
    b"<Message>The access key does not exist any more.</Message></Error>"
)


class LoopbackServer:
    """A server of its own threads for the length of a `with`."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str | None]] = []
        """Path and range of every GET."""

        self.ended = threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                owner.requests.append((self.path, self.headers.get("Range")))
                owner.answer(self)

            def do_HEAD(self) -> None:
                owner.answer(self)

            def log_message(self, format: str, *arguments: object) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """A client may hang up."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        raise NotImplementedError


class FolderServer(LoopbackServer):
    """Serves the files of a folder, by range or whole, and lists nothing."""

    def __init__(self, folder: Path, *, knows_ranges: bool = True) -> None:
        super().__init__()
        self._folder = folder
        self._knows_ranges = knows_ranges

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = self._folder / handler.path.lstrip("/")
        content = path.read_bytes() if path.is_file() else None
        asked = handler.headers.get("Range")
        if content is None:
            send(handler, status=404, content=b"")
        elif asked is None or not self._knows_ranges:
            send(handler, status=200, content=content)
        else:
            first, last = asked.removeprefix("bytes=").split("-")
            part = content[int(first) : int(last) + 1]
            send(handler, status=206 if part else 416, content=part)


class FaultProxy(LoopbackServer):
    """Hands requests on to another server, and spoils some of the answers."""

    def __init__(
        self,
        upstream: str,
        *,
        seed: int = 0,
        share: float = 0.0,
        kinds: Sequence[str] = FAULTS,
        most_in_a_row: int = 2,
        stall_seconds: float = 60.0,
    ) -> None:
        """Stand before a server.

        Args:
            upstream: Its address, as `http://127.0.0.1:8333`.
            seed: Another seed spoils other answers.
            share: Of the answers, to spoil.
            kinds: Of faults, to draw from.
            most_in_a_row: Times that the same request is spoilt, at most.
            stall_seconds: Length of a stall.
        """
        super().__init__()
        self.injected: Counter[str] = Counter()
        self.share = share
        self.refuses = False
        """Answer everything as S3 does when the keys have been revoked."""

        self._upstream = urlsplit(upstream).netloc
        self._seed = seed
        self._kinds = kinds
        self._most_in_a_row = most_in_a_row
        self._stall_seconds = stall_seconds
        self._attempts: Counter[tuple[str, str, str | None]] = Counter()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        if self.refuses:
            send(handler, status=403, content=_REFUSAL)
            return
        fault = self._draw(handler)
        if fault is None:
            send(handler, **self._ask(handler))
            return
        self.injected[fault] += 1
        if fault == "unavailable":
            send(handler, status=503, content=b"")
        elif fault == "reset":
            _reset(handler)
        elif fault == "stall":
            self.ended.wait(self._stall_seconds)
            handler.close_connection = True
        elif fault == "drip":
            self._drip(handler)
        else:
            _send_spoilt(handler, fault=fault, **self._ask(handler))

    def _draw(self, handler: BaseHTTPRequestHandler) -> str | None:
        asked = handler.headers.get("Range")
        request = (handler.command, handler.path, asked)
        attempt = self._attempts[request]
        self._attempts[request] += 1
        draw = random.Random(f"{self._seed} {request} {attempt}")
        if attempt >= self._most_in_a_row or draw.random() >= self.share:
            return None
        has_digest = asked is not None and handler.path.endswith((".tar", ".index"))
        impossible = () if has_digest else SILENT
        if handler.command == "HEAD":
            impossible = (*SILENT, *IN_THE_BODY)
        possible = [kind for kind in self._kinds if kind not in impossible]
        return draw.choice(possible) if possible else None

    def _ask(self, handler: BaseHTTPRequestHandler) -> dict[str, Any]:
        """Return what the other server answers; S3 clients sign Host, which stays as it was."""
        connection = http.client.HTTPConnection(self._upstream, timeout=60)
        try:
            connection.putrequest(
                handler.command, handler.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in handler.headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            response = connection.getresponse()
            return {
                "status": response.status,
                "headers": response.getheaders(),
                "content": response.read(),
            }
        finally:
            connection.close()

    def _drip(self, handler: BaseHTTPRequestHandler) -> None:
        """Send a byte now and then: a socket that is never silent, and never done."""
        _start(handler, status=200, num_bytes=1_000_000)
        while not self.ended.wait(0.05):
            handler.wfile.write(b"\0")
            handler.wfile.flush()


def send(
    handler: BaseHTTPRequestHandler,
    *,
    status: int,
    content: bytes,
    headers: Sequence[tuple[str, str]] = (),
) -> None:
    """Answer with `content`, or to HEAD with its length alone."""
    lengths = [value for name, value in headers if name.lower() == "content-length"]
    num_bytes = int(lengths[0]) if lengths and handler.command == "HEAD" else len(content)
    _start(handler, status=status, num_bytes=num_bytes, headers=headers)
    if handler.command != "HEAD":
        handler.wfile.write(content)


def _start(
    handler: BaseHTTPRequestHandler,
    *,
    status: int,
    num_bytes: int,
    headers: Sequence[tuple[str, str]] = (),
) -> None:
    handler.send_response_only(status)
    for name, value in headers:
        if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
            handler.send_header(name, value)
    handler.send_header("Content-Length", str(num_bytes))
    handler.end_headers()


def _send_spoilt(
    handler: BaseHTTPRequestHandler,
    *,
    fault: str,
    status: int,
    content: bytes,
    headers: Sequence[tuple[str, str]],
) -> None:
    half = content[: len(content) // 2]
    if fault == "short":
        send(handler, status=status, content=half, headers=headers)
    elif fault == "flipped":
        send(handler, status=status, content=half[:-1] + b"?" + content[len(half) :])
    else:
        _start(handler, status=status, num_bytes=len(content), headers=headers)
        handler.wfile.write(half)
        handler.wfile.flush()
        handler.close_connection = True


def _reset(handler: BaseHTTPRequestHandler) -> None:
    """Hang up in the rudest way: what was sent is lost."""
    linger = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.connection.close()
    handler.close_connection = True
