"""Deterministic weights and signals of the reference data, as if the official ones were here."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from edgeaudio_export.weights import registry, store
from tests.export.weights.official import torch_names


@pytest.fixture(scope="session")
def recipe(shared: Path) -> ModuleType:
    """The recipe of the reference data: weights and signals, as functions."""
    spec = importlib.util.spec_from_file_location("recipe", shared / "reference" / "recipe.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def arrays_of(recipe: ModuleType, name: str) -> dict[str, np.ndarray]:
    """The recipe's weights under the names that they have once imported."""
    if name.startswith("openl3"):
        drawn = recipe.openl3(name.split("-")[1])
        return {f"{layer}/{role}": value for (layer, role), value in drawn.items()}
    if name == "vggish-pca":
        eigenvectors, means = recipe.vggish_pca()
        return {"pca.eigenvectors": eigenvectors, "pca.means": means}
    return torch_names({"vggish": recipe.vggish, "kumar": recipe.kumar}[name]())


@pytest.fixture
def drawn_weights(
    recipe: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], None]:
    """A function that keeps the recipe's weights for an id, in a home of this test's own."""
    monkeypatch.setenv("EDGEAUDIO_HOME", str(tmp_path / "home"))

    def keep(name: str) -> None:
        official = registry.get(name)
        info = store.WeightsInfo(
            official.importer, "drawn", "0" * 64, False, "2026-01-31", official.licence
        )
        store.save(store.make_weights(name, arrays_of(recipe, name), info))

    return keep
