"""Writing files so that nothing is lost: whole or not at all, never over another unasked."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeaudio.errors import OutputError, OutputExistsError


def check_output(path: Path, *, overwrite: bool, inputs: tuple[Path, ...] = ()) -> None:
    """Refuse early, before long work, what `write_atomic` would refuse at its end.

    inputs: what is read to make the output, which must not be it.
    Raises OutputExistsError if `path` exists and `overwrite` is False, OutputError if it can't
    be written at all: no folder, no permission, no regular file, an input.
    """
    with _reported(path):
        if path.is_dir():
            raise OutputError(f"{path} is a folder; give the name of a file to write.")
        if not path.parent.is_dir():
            raise OutputError(f"The folder {path.parent} does not exist; make it first.")
        if any(path.exists() and i.exists() and path.samefile(i) for i in inputs):
            raise OutputError(f"{path} is read by this command; give another name to write to.")
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise OutputError(f"{path} is no regular file, so it is not replaced.")
        if path.exists() and not overwrite:
            raise OutputExistsError(f"{path} exists already; choose another name, or add --force.")
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise OutputError(f"The folder {path.parent} can't be written to.")


def write_atomic(path: Path, data: bytes, *, overwrite: bool = False) -> None:
    """Write `data` to `path`: a reader, a crash or Ctrl-C never sees half of it.

    Raises OutputExistsError and OutputError as `check_output` does, and OutputError where the
    system refuses (a full disk, a name too long).
    """
    check_output(path, overwrite=overwrite)
    with _reported(path):
        _write(path, data, overwrite=overwrite)


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    """What the system says against writing `path`, in a sentence."""
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{path} can't be written: {reason}.") from None


def _write(path: Path, data: bytes, *, overwrite: bool) -> None:
    prefix = f".{path.name[:40]}."
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.chmod(0o666 & ~current_umask())
        if overwrite:
            part.replace(path)
        else:
            _link_new(part, path)
        _sync_folder(path.parent)
    finally:
        part.unlink(missing_ok=True)


def _link_new(part: Path, path: Path) -> None:
    """Give `part` its final name, unless somebody took that name in the meantime."""
    try:
        path.hardlink_to(part)
    except FileExistsError:
        raise OutputExistsError(
            f"{path} appeared while its content was being made; choose another name."
        ) from None
    except OSError:  # FAT and some network file systems have no hard links
        part.replace(path)


def _sync_folder(folder: Path) -> None:
    """Make the new name itself survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:  # some network file systems refuse; the data itself is synced
        pass
    finally:
        os.close(descriptor)


def current_umask() -> int:
    """The rights that new files of this process do not get."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
