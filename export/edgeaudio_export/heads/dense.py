"""Heads `d128`, `d512` and `mlp`: dense networks, trained with torch.

d128, d512 (Grollmisch et al. 2020): min-max normaliser; 128, or 512 and 128 ReLU units, each with
dropout 0.5; softmax; Adam at 0.001, batches of 256, 500 epochs, balanced class weights.

mlp (Cramer et al. 2019): standard normaliser; 512 and 128 ReLU units; weight decay and learning
rate each of 1e-5, 1e-4, 1e-3, chosen by the loss on a stratified tenth of the training data (whole
groups, where `fit` is told of groups); at most 50 epochs, stopped when that loss has not fallen
for 20. The paper does not name the batch size; 256 here as well.

Seeds are fixed, and on a processor each training runs on one thread: the same data give the same
network.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import onnx
from sklearn.utils.validation import check_is_fitted, validate_data

from edgeaudio.types import F32, F64
from edgeaudio_export.graphs import GraphBuilder
from edgeaudio_export.heads import normalisers
from edgeaudio_export.heads.base import Head, softmax
from edgeaudio_export.heads.training import (
    Layers,
    Training,
    as_torch,
    drawn_layers,
    held_out,
    one_thread,
    require_torch,
)


class DenseHead(Head):
    """A dense network on normalised embeddings; the heads below set its shape.

    After `fit`: classes_ [C], offset_ and scale_ [D], layers_.
    """

    hidden: tuple[int, ...]
    normaliser: normalisers.NormaliserName
    random_state: int

    @classmethod
    def ready(cls) -> None:
        """Raise MissingExtraError unless torch is installed."""
        require_torch(cls.kind)

    def fit(self, X: Any, y: Any, groups: Any = None) -> DenseHead:
        """Train on embeddings [N, D] and N labels of at least two classes.

        groups: N names; what shares one is never torn apart where part of the data is held out.
        """
        self.ready()
        X, y = validate_data(self, X, y, dtype=np.float64)
        self.offset_, self.scale_ = normalisers.fit(self.normaliser, X)
        self.classes_, indices = np.unique(y, return_inverse=True)
        inputs = ((X - self.offset_) * self.scale_).astype(np.float32)
        groups = np.arange(len(indices)) if groups is None else np.asarray(groups)
        with one_thread(self.random_state):
            self.layers_ = self._train(inputs, indices.astype(np.int64), groups)
        return self

    def _train(self, inputs: F32, targets: Any, groups: Any) -> Layers:
        raise NotImplementedError

    def predict_proba(self, X: Any) -> F64:
        """Likelihoods [N, C]; each row sums to 1."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        x = ((X - self.offset_) * self.scale_).astype(np.float32)
        for weight, bias in self.layers_[:-1]:
            x = np.maximum(x @ weight + bias, 0)
        weight, bias = self.layers_[-1]
        return softmax((x @ weight + bias).astype(np.float64))

    def reference(self, embeddings: F32) -> F64:
        """Likelihoods [N, C] by torch."""
        import torch

        scaled = (embeddings.astype(np.float64) - self.offset_) * self.scale_
        with torch.no_grad():
            scores = as_torch(self.layers_)(torch.from_numpy(scaled).float())
            return np.asarray(torch.softmax(scores, dim=1).numpy(), np.float64)

    def graph(self) -> onnx.ModelProto:
        """ONNX: `embedding` float32 [N, D] -> `likelihood` float32 [N, C]."""
        check_is_fitted(self)
        b = GraphBuilder()
        x = b.add(
            "Sub", "embedding", b.constant(self.offset_.astype(np.float32), "normaliser.offset")
        )
        x = b.add("Mul", x, b.constant(self.scale_.astype(np.float32), "normaliser.scale"))
        for k, (weight, bias) in enumerate(self.layers_):
            last = k == len(self.layers_) - 1
            name = "head" if last else f"hidden{k}"
            x = b.add(
                "Gemm", x, b.constant(weight, f"{name}.weight"), b.constant(bias, f"{name}.bias")
            )
            x = x if last else b.add("Relu", x)
        x = b.add("Div", x, b.constant(np.ones(1, np.float32), "calibration.temperature"))
        b.rename_last(b.add("Softmax", x, axis=1), "likelihood")
        dimensions, classes = len(self.offset_), len(self.classes_)
        return b.model(self.kind, {"embedding": ["N", dimensions]}, {"likelihood": ["N", classes]})


class D128Head(DenseHead):
    """`d128`. Parameters: epochs; random_state, the seed."""

    kind = "d128"
    normaliser = "min-max"
    hidden: tuple[int, ...] = (128,)

    def __init__(self, epochs: int = 500, random_state: int = 0) -> None:
        self.epochs = epochs
        self.random_state = random_state

    def _train(self, inputs: F32, targets: Any, groups: Any) -> Layers:
        layers = drawn_layers((inputs.shape[1], *self.hidden, int(targets.max()) + 1))
        dropout = np.random.default_rng(self.random_state)
        training = Training(layers, inputs, targets, rate=1e-3, decay=0.0, dropout=dropout)
        for _ in range(self.epochs):
            training.epoch()
        return training.layers()


class D512Head(D128Head):
    """`d512`. Parameters: epochs."""

    kind = "d512"
    hidden = (512, 128)


class MlpHead(DenseHead):
    """`mlp`.

    Parameters: epochs, at most; patience, in epochs; grid, of rates and decays; random_state, the
    seed. After `fit` besides: rate_ and decay_, which were chosen.
    """

    kind = "mlp"
    normaliser = "standard"
    hidden = (512, 128)

    def __init__(
        self,
        epochs: int = 50,
        patience: int = 20,
        grid: tuple[float, ...] = (1e-5, 1e-4, 1e-3),
        random_state: int = 0,
    ) -> None:
        self.epochs = epochs
        self.patience = patience
        self.grid = grid
        self.random_state = random_state

    def _train(self, inputs: F32, targets: Any, groups: Any) -> Layers:
        held = held_out(targets, groups, self.random_state)
        best: tuple[float, Layers] | None = None
        for rate, decay in product(self.grid, self.grid):
            loss, layers = self._stopped_early(inputs, targets, held, rate, decay)
            if best is None or loss < best[0]:
                best = loss, layers
                self.rate_, self.decay_ = rate, decay
        assert best is not None
        return best[1]

    def _stopped_early(
        self, inputs: F32, targets: Any, held: Any, rate: float, decay: float
    ) -> tuple[float, Layers]:
        """Loss on what is held out where it was least, and the network at that time."""
        import torch

        torch.manual_seed(self.random_state)
        layers = drawn_layers((inputs.shape[1], *self.hidden, int(targets.max()) + 1))
        training = Training(layers, inputs[~held], targets[~held], rate=rate, decay=decay)
        judged = held if held.any() else ~held  # too little data to hold any of it out
        x, y = torch.from_numpy(inputs[judged]), torch.from_numpy(targets[judged])
        best, since = (float("inf"), layers), 0
        for _ in range(self.epochs):
            training.epoch()
            loss = float(torch.nn.functional.cross_entropy(training.scores(x), y))
            since += 1
            if loss < best[0]:
                best, since = (loss, training.layers()), 0
            if since >= self.patience:
                break
        return best
