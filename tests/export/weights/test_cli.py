"""`edgeaudio weights`, as a user calls it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from edgeaudio.cli.weights import weights_app
from edgeaudio.errors import EdgeAudioError
from edgeaudio_export.weights.importers import layouts
from tests.export.weights.official import write_openl3


def run(*arguments: object) -> Result:
    return CliRunner().invoke(weights_app, [str(a) for a in arguments], env={"COLUMNS": "200"})


def good(*arguments: object) -> Result:
    result = run(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result


def refused(*arguments: object) -> str:
    """What it says; the entry point prints it and ends with the error's own status."""
    result = run(*arguments)
    assert isinstance(result.exception, EdgeAudioError), (result.output, result.exception)
    return str(result.exception)


@pytest.fixture
def file(arrays_of: Callable, tmp_path: Path) -> Path:
    write_openl3(tmp_path / "o.h5", arrays_of(layouts.OPENL3))
    return tmp_path / "o.h5"


def test_where(home: Path) -> None:
    assert good("where").stdout == f"{home}\n"


def test_import_list_verify(file: Path, home: Path) -> None:
    assert "openl3-mel128-env" in refused("verify", "openl3-mel128-env")
    result = good("import", "openl3-mel128-env", file)
    kept = home / "openl3-mel128-env.npz"
    assert result.stdout == (
        f"openl3-mel128-env: 4689860 values from o.h5 (not an official file), kept in {kept}.\n"
    )
    assert "o.h5 has the right layout, but by its digest it is none of the official" in (
        result.stderr
    )
    rows = {row["id"]: row for row in map(json.loads, good("list", "--json").stdout.splitlines())}
    assert len(rows) == 10
    assert rows["openl3-mel128-env"]["here"] == "imported"
    assert rows["openl3-mel128-env"]["bytes"] == 4_689_860 * 4
    assert rows["kumar"]["here"] == "no"
    table = good("list").stdout
    assert "openl3-mel128-env    CC BY 4.0" in table
    assert "18.8 MB   imported" in table
    out = good("verify", "openl3-mel128-env").stdout
    assert "48 with 4689860 values, of the expected shapes" in out
    assert "no, not by its digest" in out
    assert out.endswith("openl3-mel128-env can be used.\n")


def test_import_replaces_only_when_told(file: Path, home: Path) -> None:
    good("import", "openl3-mel128-env", file)
    assert "exists already" in refused("import", "openl3-mel128-env", file)
    good("import", "openl3-mel128-env", file, "--force")
    (home / "openl3-mel128-env.npz").write_bytes(b"x")
    assert "damaged" in good("list").stdout
    assert "can't be read" in refused("verify", "openl3-mel128-env")


def test_the_official_file_is_called_so(shared: Path) -> None:
    result = good("import", "yamnet", shared / "weights" / "yamnet.tflite")
    assert "3729481 values from yamnet.tflite (the official file)" in result.stdout
    assert result.stderr == ""
    assert "yes, by its digest" in good("verify", "yamnet").stdout


def test_what_is_refused(file: Path, tmp_path: Path) -> None:
    assert "There are no official weights 'x'" in refused("import", "x", file)
    assert "There are no official weights 'x'" in refused("pull", "x")
    assert "No such file" in refused("import", "yamnet", tmp_path / "absent")
    assert "is a folder" in refused("import", "yamnet", tmp_path)
    assert "is no TFLite file" in refused("import", "yamnet", file)
    assert "Give the id of the weights and one file" in refused("import", "yamnet")
    assert "go with --as NAME" in refused("import", "yamnet", file, "--window", "1")
    assert "needs one FILE, --sample-rate" in refused("import", "--as", "mine", file)
