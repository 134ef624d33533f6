"""Files are read in a process of their own, which may die of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeaudio.errors import MissingExtraError, WeightsFileError
from edgeaudio_export.weights import apart
from edgeaudio_export.weights.importers import layouts
from tests.export.weights.official import write_openl3


def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """A shell script in place of Python; its last argument is the folder for the answer."""
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\n{program}\n")
    script.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(script))


def test_the_same_arrays_come_out(arrays_of: Callable, tmp_path: Path) -> None:
    arrays = arrays_of(layouts.OPENL3)
    write_openl3(tmp_path / "o.h5", arrays)
    found = apart.read("openl3-linear", tmp_path / "o.h5")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert not found[name].flags.writeable


def test_errors_come_out_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "o.h5").write_bytes(b"x" * 100)
    with pytest.raises(WeightsFileError, match="can't be read as OpenL3 weights"):
        apart.read("openl3-linear", tmp_path / "o.h5")


def test_an_extra_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = r'printf "[\"MissingExtraError\", \"get h5py\"]" > "$6/error.json"'
    stand_in(tmp_path, monkeypatch, answer)
    with pytest.raises(MissingExtraError, match="get h5py"):
        apart.read("openl3-linear", tmp_path / "o.h5")


def test_a_file_that_crashes_its_reader_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch, "kill -SEGV $$")
    with pytest.raises(WeightsFileError, match="its reader ended with SIGSEGV; it is damaged"):
        apart.read("openl3-linear", tmp_path / "o.h5")
