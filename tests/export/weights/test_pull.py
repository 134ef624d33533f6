"""Fetching from a server on this machine: resume, damage, redirection, and no network at all."""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from edgeaudio.errors import EdgeAudioError, MissingExtraError, OutputExistsError, WeightsFileError
from edgeaudio_export.weights import pull as fetching
from edgeaudio_export.weights import registry, store
from edgeaudio_export.weights.digests import Digest
from edgeaudio_export.weights.importers import layouts
from edgeaudio_export.weights.pull import pull
from edgeaudio_export.weights.registry import Official, OfficialFile
from tests.export.weights.official import write_openl3


class Server(ThreadingHTTPServer):
    """Gives `content` under any path, in the ways that real servers do."""

    content = b""
    cut: int | None = None  # bytes after which the connection ends
    resumes = True
    says_length = True
    status: int | None = None
    location = ""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/weights.h5"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        server = self.server
        asked = self.headers.get("Range")
        server.asked.append(asked)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and server.resumes else 0
        if server.status:
            self.send_response(server.status)
            if server.location:
                self.send_header("Location", server.location)
            self.end_headers()
            return
        if start and start >= len(server.content):
            self.send_response(416)
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        body = server.content[start:]
        if start:
            last = len(server.content) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{last + 1}")
        if server.says_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: server.cut])


@pytest.fixture
def server(arrays_of: Callable, tmp_path: Path) -> Iterator[Server]:
    write_openl3(tmp_path / "weights.h5", arrays_of(layouts.OPENL3))
    server = Server()
    server.content = (tmp_path / "weights.h5").read_bytes()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def official(server: Server, monkeypatch: pytest.MonkeyPatch) -> Official:
    digest = Digest("sha256", hashlib.sha256(server.content).hexdigest())
    file = OfficialFile("weights.h5", digest, (server.url,))
    entry = dataclasses.replace(registry.get("openl3-linear-music"), files=(file,))
    entries = {**registry.officials(), entry.id: entry}
    monkeypatch.setattr(registry, "officials", lambda: entries)
    return entry


def quiet(done: float, total: float) -> None:
    """Nobody looks."""


def with_file(official: Official, **changes: object) -> Official:
    file = dataclasses.replace(official.files[0], **changes)  # type: ignore[arg-type]
    return dataclasses.replace(official, files=(file,))


def test_pulls_and_keeps(official: Official, server: Server, home: Path) -> None:
    seen: list[tuple[float, float]] = []
    weights = pull(official, lambda done, total: seen.append((done, total)), loopback=True)
    assert weights.info.official
    assert store.require(official.id).digest == weights.digest
    size = len(server.content)
    assert seen[-1] == (size, size)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert list((home / "downloads").iterdir()) == [], "kept once is enough"
    with pytest.raises(OutputExistsError):
        pull(official, quiet, loopback=True)
    assert len(server.asked) == 1
    pull(official, quiet, loopback=True, overwrite=True)


def test_goes_on_where_it_broke_off(official: Official, server: Server, home: Path) -> None:
    server.cut = 1_000_000
    said = (
        "broke off after 1000000 bytes of weights.h5, which are kept; run `edgeaudio weights pull"
    )
    with pytest.raises(EdgeAudioError, match=said):
        pull(official, quiet, loopback=True)
    assert (home / "downloads" / "weights.h5.part").stat().st_size == 1_000_000
    server.cut = None
    pull(official, quiet, loopback=True)
    assert server.asked == [None, "bytes=1000000-"]
    assert store.require(official.id).info.official


def test_starts_over_where_the_server_does_not_resume(
    official: Official, server: Server, home: Path
) -> None:
    part = home / "downloads" / "weights.h5.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(server.content[:1000])
    server.resumes = server.says_length = False
    pull(official, quiet, loopback=True)
    assert server.asked == ["bytes=1000-"]


@pytest.mark.parametrize("stale", [b"x" * 1000, b"x" * 30_000_000])
def test_starts_over_where_what_was_kept_is_of_another_file(
    official: Official, server: Server, home: Path, stale: bytes
) -> None:
    part = home / "downloads" / "weights.h5.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(stale)
    pull(official, quiet, loopback=True)
    assert server.asked == [f"bytes={len(stale)}-", None]


def test_a_complete_partial_file_is_not_fetched_again(
    official: Official, server: Server, home: Path
) -> None:
    folder = home / "downloads"
    folder.mkdir(parents=True)
    (folder / "weights.h5.part").write_bytes(server.content)
    pull(with_file(official, size=len(server.content)), quiet, loopback=True)
    (folder / "weights.h5").write_bytes(server.content)
    pull(official, quiet, loopback=True, overwrite=True)
    assert server.asked == []


def test_refuses_other_content(official: Official, server: Server, home: Path) -> None:
    server.content = server.content[:-1] + b"x"
    with pytest.raises(WeightsFileError, match=r"is not weights\.h5 \(its digest is not sha256:"):
        pull(official, quiet, loopback=True)
    assert list((home / "downloads").iterdir()) == []
    assert store.find(official.id) is None


@pytest.mark.parametrize("says_length", [True, False])
def test_refuses_more_than_there_should_be(
    official: Official, server: Server, says_length: bool
) -> None:
    server.says_length = says_length
    with pytest.raises(WeightsFileError, match=r"gives \d+ bytes or more, expected at most 70000"):
        pull(with_file(official, size=70_000), quiet, loopback=True)


def test_tries_the_next_address(official: Official, server: Server) -> None:
    gone = "http://127.0.0.1:9/weights.h5"
    pull(with_file(official, urls=(gone, server.url)), quiet, loopback=True)
    assert store.require(official.id)


def test_says_what_the_server_answers(official: Official, server: Server) -> None:
    server.status = 404
    with pytest.raises(EdgeAudioError, match=r"weights\.h5 answers 404 Not Found; look for"):
        pull(official, quiet, loopback=True)


def test_offline_in_one_sentence(official: Official) -> None:
    url = "https://weights.invalid/weights.h5"
    with pytest.raises(EdgeAudioError) as offline:
        pull(with_file(official, urls=(url,)), quiet)
    text = str(offline.value)
    assert text.startswith("This machine is offline, or weights.invalid can't be reached (")
    assert f"fetch {url} on another machine" in text
    assert "`edgeaudio weights import openl3-linear-music weights.h5`" in text
    assert text.count(". ") == 0


@pytest.mark.parametrize("url", ["http://example.com/w", "ftp://127.0.0.1/w", "file:///etc/passwd"])
def test_fetches_from_https_alone(official: Official, server: Server, url: str) -> None:
    for loopback in (False, True):
        with pytest.raises(EdgeAudioError, match="no https address, so nothing is fetched"):
            pull(with_file(official, urls=(url,)), quiet, loopback=loopback)
    with pytest.raises(EdgeAudioError, match="no https address"):
        pull(official, quiet)
    server.status, server.location = 302, url
    with pytest.raises(EdgeAudioError, match="no https address|is not allowed"):
        pull(official, quiet, loopback=True)


def test_two_at_once_do_not_mix(official: Official, home: Path) -> None:
    (home / "downloads").mkdir(parents=True)
    with (home / "downloads" / "weights.h5.part").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(EdgeAudioError, match=r"weights\.h5 is being fetched by another"):
            pull(official, quiet, loopback=True)


def test_nothing_is_fetched_for_a_missing_extra(
    official: Official, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtraError, match="needs h5py"):
        pull(official, quiet, loopback=True)
    assert server.asked == []


def test_without_an_address_it_says_so(official: Official) -> None:
    with pytest.raises(EdgeAudioError, match=r"No address is known of weights\.h5"):
        pull(with_file(official, urls=()), quiet)


def test_a_full_disk_is_not_taken_for_being_offline(
    official: Official, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        name = "weights.h5.part"

        def tell(self) -> int:
            return 0

        def write(self, _: bytes) -> None:
            raise OSError(28, "No space left on device")

    with pytest.raises(EdgeAudioError, match=r"can't be written: No space left on device"):
        fetching._from_any(official.files[0], official.id, Full(), quiet, True)  # type: ignore[arg-type]
