"""The HEAR convention, so that public evaluation kits can drive a model file.

Holistic Evaluation of Audio Representations (HEAR 2021), common API: this module has its three
functions. A kit is told the module `edgeaudio.hear` and the path of a model file. The kits work
on torch modules and tensors; without torch, give the functions numpy arrays and a model from
`edgeaudio.load_model`. Arrays in give arrays out, tensors give tensors.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from edgeaudio import model as models
from edgeaudio.audio.source import ArraySource
from edgeaudio.audio.windows import windows_of
from edgeaudio.errors import MissingExtraError
from edgeaudio.types import F32


def load_model(model_file_path: str = "") -> Any:
    """The model file as a `torch.nn.Module` with the attributes that the convention names.

    `sample_rate` in Hz, `scene_embedding_size` and `timestamp_embedding_size`.
    Raises ModelFileError as `edgeaudio.load_model` does, MissingExtraError without torch.
    """
    try:
        import torch
    except ImportError:
        raise MissingExtraError(
            "A torch module needs torch, which is not installed; install it, or use "
            "edgeaudio.load_model with numpy arrays."
        ) from None

    class HearModule(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        def __init__(self, model: models.Model) -> None:
            super().__init__()
            self.edgeaudio_model = model
            self.sample_rate = model.sample_rate
            self.scene_embedding_size = model.scene_embedding_size
            self.timestamp_embedding_size = model.timestamp_embedding_size

        def forward(self, audio: Any) -> Any:
            return get_scene_embeddings(audio, self.edgeaudio_model)

    return HearModule(models.load_model(model_file_path))


def get_timestamp_embeddings(audio: Any, model: Any) -> tuple[Any, Any]:
    """One embedding a hop.

    audio: float [sounds, samples] in [-1, 1] at `model.sample_rate`.
    model: from `load_model` here, or from `edgeaudio.load_model`.
    Returns embeddings float32 [sounds, T, D] and timestamps float32 [sounds, T]: centres of the
    windows, in milliseconds. Raises ValueError for another shape.
    """
    sounds = _sounds(audio)
    pairs = [_embed(sound, _model(model)) for sound in sounds]
    embeddings = np.stack([embedding for embedding, _ in pairs])
    times = np.stack([time for _, time in pairs])
    return _like(audio, embeddings), _like(audio, times)


def get_scene_embeddings(audio: Any, model: Any) -> Any:
    """One embedding a sound, float32 [sounds, D]: the mean over its windows. Arguments as above."""
    sounds = _sounds(audio)
    found = [_embed(sound, _model(model))[0].mean(axis=0) for sound in sounds]
    return _like(audio, np.stack(found))


def _model(model: Any) -> models.Model:
    inner: models.Model = getattr(model, "edgeaudio_model", model)
    return inner


def _embed(sound: F32, model: models.Model) -> tuple[F32, F32]:
    spec = model.contract.window_spec
    windows = list(windows_of(ArraySource(sound, spec.sample_rate), spec))
    embeddings = model.embed(np.stack([w.samples for w in windows]))
    centres = [1000 * (w.start + spec.window / 2) / spec.sample_rate for w in windows]
    return embeddings, np.array(centres, np.float32)


def _sounds(audio: Any) -> F32:
    if hasattr(audio, "detach"):  # torch: maybe on a GPU, maybe with gradients
        audio = audio.detach().cpu().numpy()
    sounds = np.asarray(audio, dtype=np.float32)
    if sounds.ndim != 2 or not sounds.size:
        raise ValueError(f"audio must have the shape [sounds, samples], not {list(sounds.shape)}")
    return sounds


def _like(audio: Any, array: F32) -> Any:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(audio, torch.Tensor):
        return torch.from_numpy(array).to(audio.device)
    return array
