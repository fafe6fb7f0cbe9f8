"""A hub on loopback that behaves, or misbehaves, as a test asks."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .gguf_maker import sha256

REVISION = "0" * 39 + "1"


class HubServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = files
        self.etag = '"v1"'
        self.cut_after: list[int] = []  # per download, close the connection after so many bytes
        self.redirect_to: str | None = None
        self.lie_about_hash = False
        self.ranges: list[str | None] = []  # the Range header of every download
        self.tokens: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: HubServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.tokens.append(self.headers["Authorization"])
        if self.path.startswith("/api/models/org/repo"):
            self._json(
                {"sha": REVISION, "siblings": self._siblings(), "cardData": {"license": "mit", "language": ["fr"]}}
            )
        elif self.path.startswith("/org/repo/resolve/") and self.server.redirect_to is not None:
            self.send_response(302)
            self.send_header("Location", self.server.redirect_to)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif (data := self.server.files.get(self.path.rpartition("/")[2])) is not None:
            self._file(data)
        else:
            self._json({"error": "Repository not found"}, 404)

    def _siblings(self) -> list[dict[str, object]]:
        return [
            {
                "rfilename": name,
                "size": len(data),
                "lfs": {"sha256": "f" * 64 if self.server.lie_about_hash else sha256(data), "size": len(data)},
            }
            for name, data in self.server.files.items()
        ]

    def _file(self, data: bytes) -> None:
        wanted = self.headers["Range"]
        self.server.ranges.append(wanted)
        start = 0
        if wanted and self.headers["If-Range"] == self.server.etag:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("ETag", self.server.etag)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        body = data[start:]
        if self.server.cut_after:
            body = body[: self.server.cut_after.pop(0)]
            self.close_connection = True
        self.wfile.write(body)

    def _json(self, value: object, status: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def hub_server(files: dict[str, bytes]) -> Iterator[HubServer]:
    server = HubServer(files)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
