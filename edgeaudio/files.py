"""Writing files so that nothing is lost: whole or not at all, never over another unasked."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from edgeaudio.errors import OutputExistsError


def check_absent(path: Path, *, overwrite: bool) -> None:
    """Refuse early, before long work, what `write_atomic` would refuse at its end.

    Raises OutputExistsError if `path` exists and `overwrite` is False, or its folder is missing.
    """
    if path.is_dir():
        raise OutputExistsError(f"{path} is a folder; give the name of a file to write.")
    if not path.parent.is_dir():
        raise OutputExistsError(f"The folder {path.parent} does not exist; make it first.")
    if path.exists() and not overwrite:
        raise OutputExistsError(f"{path} exists already; choose another name, or add --force.")


def write_atomic(path: Path, data: bytes, *, overwrite: bool = False) -> None:
    """Write `data` to `path`: a reader, a crash or Ctrl-C never sees half of it.

    Raises OutputExistsError as `check_absent` does.
    """
    check_absent(path, overwrite=overwrite)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.chmod(0o666 & ~_umask())
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


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
