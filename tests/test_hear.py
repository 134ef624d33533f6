from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest

import edgeaudio
from edgeaudio import hear
from edgeaudio.errors import MissingExtraError
from edgeaudio.model import Model
from edgeaudio.types import F32


def test_timestamps(model: Model, noise: F32) -> None:
    sounds = np.stack([noise, noise[::-1]])
    embeddings, times = edgeaudio.get_timestamp_embeddings(sounds, model)
    assert embeddings.shape == (2, 5, model.timestamp_embedding_size)
    assert times.tolist() == [[500, 1000, 1500, 2000, 2500]] * 2
    assert np.array_equal(embeddings[0, 0], model.embed(noise[None, :16_000])[0])


def test_scene_is_the_mean_over_time(model: Model, noise: F32) -> None:
    sounds = noise[None]
    scene = edgeaudio.get_scene_embeddings(sounds, model)
    embeddings, _ = edgeaudio.get_timestamp_embeddings(sounds, model)
    assert scene.shape == (1, model.scene_embedding_size)
    assert np.allclose(scene, embeddings.mean(axis=1))


def test_short_sounds_are_padded(model: Model) -> None:
    assert edgeaudio.get_scene_embeddings(np.zeros((3, 100)), model).shape == (3, 512)


def test_other_shapes_are_refused(model: Model, noise: F32) -> None:
    with pytest.raises(ValueError, match=r"\[sounds, samples\], not \[48000\]"):
        edgeaudio.get_scene_embeddings(noise, model)


def test_a_kit_gets_a_torch_module(engine_model: Path, noise: F32) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed (extra `train`)")
    module = hear.load_model(str(engine_model))
    assert isinstance(module, torch.nn.Module)
    assert (module.sample_rate, module.scene_embedding_size) == (16_000, 512)
    assert module.timestamp_embedding_size == 512
    sounds = torch.from_numpy(noise[None])
    assert hear.get_scene_embeddings(sounds, module.to("cpu")).shape == (1, 512)
    embeddings, times = hear.get_timestamp_embeddings(sounds, module)
    assert (embeddings.shape, times.shape) == ((1, 5, 512), (1, 5))
    assert torch.equal(module(sounds), embeddings.mean(dim=1))


def test_a_kit_without_torch_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match="needs torch, which is not installed"):
        hear.load_model("t4.onnx")


class FakeModule:
    """As much of a torch module as we touch."""


def test_the_module_carries_what_the_convention_names(
    engine_model: Path, noise: F32, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = types.ModuleType("torch")
    torch.nn = types.SimpleNamespace(Module=FakeModule)  # type: ignore[attr-defined]
    torch.Tensor = FakeTensor  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)
    module = hear.load_model(str(engine_model))
    assert isinstance(module, FakeModule)
    assert (module.sample_rate, module.scene_embedding_size) == (16_000, 512)
    assert module.timestamp_embedding_size == 512
    assert hear.get_scene_embeddings(noise[None], module).shape == (1, 512)


class FakeTensor:
    """As much of a torch tensor as we touch."""

    device = "cpu"

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def detach(self) -> FakeTensor:
        return self

    cpu = detach

    def numpy(self) -> np.ndarray:
        return self.array

    def to(self, device: str) -> FakeTensor:
        assert device == "cpu"
        return self


def test_tensors_in_give_tensors_out(
    model: Model, noise: F32, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = types.ModuleType("torch")
    torch.Tensor, torch.from_numpy = FakeTensor, FakeTensor  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)
    embeddings, times = edgeaudio.get_timestamp_embeddings(FakeTensor(noise[None]), model)
    assert isinstance(embeddings, FakeTensor)
    assert isinstance(times, FakeTensor)
    assert isinstance(edgeaudio.get_scene_embeddings(FakeTensor(noise[None]), model), FakeTensor)
