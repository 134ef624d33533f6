"""The two functions of the HEAR convention, so that public evaluation kits can drive a model.

Holistic Evaluation of Audio Representations (HEAR 2021), common API. With `load_model` they
make `edgeaudio` a HEAR module. Arrays in give arrays out, torch tensors give torch tensors.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from edgeaudio.audio.source import ArraySource
from edgeaudio.audio.windows import windows_of
from edgeaudio.model import Model
from edgeaudio.types import F32


def get_timestamp_embeddings(audio: Any, model: Model) -> tuple[Any, Any]:
    """One embedding a hop.

    audio: float [sounds, samples] in [-1, 1] at `model.sample_rate`.
    Returns embeddings float32 [sounds, T, D] and timestamps float32 [sounds, T]: centres of the
    windows, in milliseconds. Raises ValueError for another shape.
    """
    sounds = _sounds(audio)
    pairs = [_embed(sound, model) for sound in sounds]
    embeddings = np.stack([embedding for embedding, _ in pairs])
    times = np.stack([time for _, time in pairs])
    return _like(audio, embeddings), _like(audio, times)


def get_scene_embeddings(audio: Any, model: Model) -> Any:
    """One embedding a sound, float32 [sounds, D]: the mean over its windows. `audio` as above."""
    sounds = _sounds(audio)
    return _like(audio, np.stack([_embed(sound, model)[0].mean(axis=0) for sound in sounds]))


def _embed(sound: F32, model: Model) -> tuple[F32, F32]:
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
