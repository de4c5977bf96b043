"""A web server for one folder, in a thread: with parts of files or without, and with faults."""

import contextlib
import hashlib
import re
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest


class Web:
    """What is served, what was asked for, and what goes wrong.

    Attributes:
        folder: that is served.
        url: of the folder, without a slash at the end.
        ranges: whether parts of files are given.
        asked: of each GET of a file its name, and the first byte and the number of bytes given.
        faults: name of a file, to the status that a GET of it gives.
    """

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.ranges = True
        self.asked: list[tuple[str, int, int]] = []
        self.faults: dict[str, int] = {}

    def bytes_of(self, name: str) -> int:
        """Count the bytes of a file that were given."""
        return sum(count for asked, _, count in self.asked if asked == name)


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer waits for an acknowledgement
    web: Web

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        name = unquote(self.path.partition("?")[0]).strip("/")
        path = self.web.folder / name
        if path.is_dir():
            self._list(path)
        elif not path.is_file():
            self.send_error(404)
        elif body and name in self.web.faults:
            self.send_error(self.web.faults[name])
        else:
            self._give(name, path.read_bytes(), body=body)

    def _list(self, folder: Path) -> None:
        if not self.path.endswith("/"):
            self.send_response(301)
            self.send_header("Location", self.path + "/")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif page := self.list_directory(folder):
            self.wfile.write(page.read())

    def _give(self, name: str, data: bytes, *, body: bool) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        start, stop = 0, len(data)
        if wanted and self.web.ranges:
            start, stop = int(wanted[1]), min(len(data), int(wanted[2]) + 1)
        self.send_response(206 if wanted and self.web.ranges else 200)
        if wanted and self.web.ranges:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
        self.send_header("ETag", f'"{hashlib.md5(data).hexdigest()}"')
        self.send_header("Content-Length", str(stop - start))
        self.end_headers()
        if body:
            self.web.asked.append((name, start, stop - start))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.wfile.write(data[start:stop])


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Web]:
    """Serve a folder until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    handler = type("Handler", (_Handler,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # who reads may hang up at any time
        web = handler.web = Web(folder, f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield web
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    """A server of the folder `bucket` of the test."""
    with serving(tmp_path / "bucket") as web:
        yield web
