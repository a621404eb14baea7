"""A small HTTP server for tests: serves a folder, whole or in parts, and fails as it is told."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Fault = Callable[[str, int], str]  # (name, how often it was asked for) -> "", "500", "cut" (the body breaks off) or "whole" (no parts)


class FileServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, folder: Path, fault: Fault) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.fault = fault
        self.sent: list[tuple[str, int]] = []  # name, and bytes of the body
        self.asked: dict[str, int] = {}

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FileServer

    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        file = self.server.folder / name
        self.server.asked[name] = self.server.asked.get(name, 0) + 1
        fault = self.server.fault(name, self.server.asked[name])
        if fault == "500" or not file.is_file():
            self._answer(500 if fault == "500" else 404, b"", 0)
            return
        body, given = file.read_bytes(), self.headers.get("Range")
        status, headers = 200, {}
        if given is not None and fault != "whole":
            first, last = given.removeprefix("bytes=").split("-")
            start = int(first) if first else max(0, len(body) - int(last))
            stop = min(int(last) + 1 if first and last else len(body), len(body))
            if start >= len(body):
                self._answer(416, b"", 0)
                return
            status, headers = 206, {"Content-Range": f"bytes {start}-{stop - 1}/{len(body)}"}
            body = body[start:stop]
        self.server.sent.append((name, len(body)))
        self._answer(status, body[: len(body) // 2] if fault == "cut" else body, len(body), headers)
        self.close_connection = fault == "cut"

    def _answer(self, status: int, body: bytes, length: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {**(headers or {}), "Content-Length": str(length)}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(folder: Path, fault: Fault = lambda *_: "") -> Iterator[FileServer]:
    server = FileServer(folder, fault)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
