"""What the tests of weights share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeaudio.types import F32
from edgeaudio_export.weights.importers.common import Layout


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test sees the weights of this machine, nor its proxies."""
    monkeypatch.setenv("EDGEAUDIO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "home" / "weights"


@pytest.fixture
def arrays_of() -> Callable[[Layout], dict[str, F32]]:
    """Arrays that fill a layout."""

    def fill(layout: Layout) -> dict[str, F32]:
        rng = np.random.default_rng(1)
        return {name: rng.random(shape, np.float32) for name, shape in layout.items()}

    return fill
