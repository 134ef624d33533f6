"""Fetching official files: over https, with resume, bounded, and only what has the digest.

What arrives is kept as `NAME.part` in `downloads` of the store until it is whole.
"""

from __future__ import annotations

import fcntl
import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from edgeaudio.errors import EdgeAudioError, OutputError, WeightsFileError
from edgeaudio.files import check_output
from edgeaudio_export.weights import digests, store
from edgeaudio_export.weights.importers import get_importer
from edgeaudio_export.weights.importers.common import MAX_BYTES, reading
from edgeaudio_export.weights.registry import Official, OfficialFile
from edgeaudio_export.weights.store import Weights

Progress = Callable[[float, float], None]

_TIMEOUT = 30.0  # seconds without a byte
_CHUNK = 1 << 16
_LENGTH = re.compile(r"[0-9]{1,15}")
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_AGENT = {"User-Agent": "edgeaudio", "Accept-Encoding": "identity"}


class _BrokenOffError(Exception):
    """The connection ended before the file did; what came is kept."""


def pull(
    official: Official, progress: Progress, *, overwrite: bool = False, loopback: bool = False
) -> Weights:
    """Fetch, check and keep official weights.

    progress: told how many bytes are there, and of how many. loopback: allow plain http from
    this machine itself. Raises EdgeAudioError if the file can't be fetched, WeightsFileError if
    it is another than the registry says, MissingExtraError before anything is fetched, and what
    `store.load_file` and `store.save` raise.
    """
    file = official.source
    if file is None:
        raise EdgeAudioError(
            f"No address is known of {official.files[0].name}; get it from its authors, then "
            f"`edgeaudio weights import {official.id} FILE`."
        )
    get_importer(official.importer).ready()  # before much is fetched for nothing
    kept = store.path_of(official.id)
    store.make_folder(kept.parent)
    check_output(kept, overwrite=overwrite)
    fetched = fetch(file, official.id, progress, loopback=loopback)
    weights = store.load_file(official.id, fetched)
    store.save(weights, overwrite=overwrite)
    fetched.unlink(missing_ok=True)  # what was in it is kept now
    return weights


def fetch(file: OfficialFile, id: str, progress: Progress, *, loopback: bool = False) -> Path:
    """The file in `downloads` of the store, fetched if it is not there yet.

    Raises as `pull` does.
    """
    folder = store.weights_home() / "downloads"
    store.make_folder(folder)
    whole, part = folder / file.name, folder / f"{file.name}.part"
    if whole.is_file() and _matches(whole, file):
        return whole
    with _locked(part) as kept:
        resumed = kept.tell() > 0
        _from_any(file, id, kept, progress, loopback)
        if not _matches(part, file) and resumed:  # what was kept may be of another time
            _start_over(kept)
            _from_any(file, id, kept, progress, loopback)
        if not _matches(part, file):
            part.unlink()
            raise WeightsFileError(
                f"What came from {file.urls[0]} is not {file.name} (its digest is not "
                f"{file.digest}), so it was thrown away. Try again; if it stays so, the file was "
                "changed there."
            )
        part.replace(whole)
    return whole


def _matches(path: Path, file: OfficialFile) -> bool:
    with reading(path, "a download"):
        return digests.of_file(path).match(file.digest)


@contextmanager
def _locked(part: Path) -> Iterator[IO[bytes]]:
    """The partial file, at its end, for this process alone."""
    with part.open("ab") as kept:
        try:
            fcntl.flock(kept, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EdgeAudioError(
                f"{part.stem} is being fetched by another process already; wait until it is done."
            ) from None
        except OSError:  # some network file systems have no locks
            pass
        if not _is_still(kept, part):
            raise EdgeAudioError(f"{part.stem} was fetched by another process just now.")
        if kept.tell() > MAX_BYTES:
            _start_over(kept)
        try:
            yield kept
        finally:
            if kept.tell() == 0:  # nothing came
                part.unlink(missing_ok=True)


def _is_still(kept: IO[bytes], part: Path) -> bool:
    """Whether the open file is the one of that name: it is renamed when it is whole."""
    try:
        return os.path.samestat(os.fstat(kept.fileno()), part.stat())
    except FileNotFoundError:
        return False


def _start_over(kept: IO[bytes]) -> None:
    kept.truncate(0)
    kept.seek(0)


def _from_any(
    file: OfficialFile, id: str, kept: IO[bytes], progress: Progress, loopback: bool
) -> None:
    """Fill `kept` from the first address that gives the file. Raises EdgeAudioError."""
    for k, url in enumerate(file.urls):
        try:
            _download(url, file.size, kept, progress, loopback)
            return
        except _BrokenOffError:
            raise EdgeAudioError(
                f"The connection to {urlsplit(url).hostname} broke off after {kept.tell()} bytes "
                f"of {file.name}, which are kept; run `edgeaudio weights pull {id}` again to go on."
            ) from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            if k + 1 == len(file.urls):
                raise EdgeAudioError(_failure(file.urls[0], file, id, error)) from None


def _failure(url: str, file: OfficialFile, id: str, error: Exception) -> str:
    elsewhere = f"`edgeaudio weights import {id} {file.name}`"
    if isinstance(error, urllib.error.HTTPError):
        return (
            f"{url} answers {error.code} {error.reason}; look for {file.name} elsewhere and bring "
            f"it in with {elsewhere}."
        )
    reason = getattr(error, "reason", None) or error
    reason = getattr(reason, "strerror", None) or reason
    return (
        f"This machine is offline, or {urlsplit(url).hostname} can't be reached ({reason}): fetch "
        f"{url} on another machine and bring it in with {elsewhere}."
    )


def _download(
    url: str, size: int | None, kept: IO[bytes], progress: Progress, loopback: bool
) -> None:
    """Fill `kept` with what `url` gives, going on where it ends.

    Raises _BrokenOffError, OSError (urllib's errors are such), http.client.HTTPException, and
    WeightsFileError for more bytes than there should be.
    """
    _check_address(url, loopback)
    if kept.tell() == size:
        return
    request = urllib.request.Request(url, headers=dict(_AGENT))
    if kept.tell():
        request.add_header("Range", f"bytes={kept.tell()}-")
    opener = urllib.request.build_opener(_Redirects(loopback))
    try:
        response = opener.open(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        return  # nothing is left to fetch; the digest tells whether it is all
    with response:
        start = _start(response, kept.tell())
        if start != kept.tell():  # the server does not resume
            _start_over(kept)
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if _LENGTH.fullmatch(length) else size
        _check_total(total or 0, size, url)
        _receive(response, kept, total, size, url, progress)
    if total is not None and kept.tell() < total:
        raise _BrokenOffError


def _receive(
    response: Any,
    kept: IO[bytes],
    total: int | None,
    size: int | None,
    url: str,
    progress: Progress,
) -> None:
    while True:
        try:
            chunk = response.read(_CHUNK)
        except (OSError, http.client.HTTPException):
            raise _BrokenOffError from None
        if not chunk:
            return
        _check_total(kept.tell() + len(chunk), size, url)
        try:
            kept.write(chunk)
            kept.flush()
        except OSError as error:
            raise OutputError(f"{kept.name} can't be written: {error.strerror}.") from None
        progress(kept.tell(), total or kept.tell())


def _start(response: Any, asked: int) -> int:
    """Where in the file the answer begins: where it was asked to, or at 0."""
    if response.status != http.HTTPStatus.PARTIAL_CONTENT:
        return 0
    given = response.headers.get("Content-Range", "")
    if not given.startswith(f"bytes {asked}-"):
        raise http.client.HTTPException(f"asked for bytes {asked} on, it gives {given!r}")
    return asked


def _check_total(total: int, size: int | None, url: str) -> None:
    limit = size or MAX_BYTES
    if total > limit:
        raise WeightsFileError(f"{url} gives {total} bytes or more, expected at most {limit}.")


def _check_address(url: str, loopback: bool) -> None:
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if not (loopback and parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise EdgeAudioError(f"{url} is no https address, so nothing is fetched from there.")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to https alone."""

    def __init__(self, loopback: bool) -> None:
        self._loopback = loopback

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Message,
        newurl: str,
    ) -> urllib.request.Request | None:
        """The request for the new address. Raises EdgeAudioError where it is not https."""
        _check_address(newurl, self._loopback)
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]
