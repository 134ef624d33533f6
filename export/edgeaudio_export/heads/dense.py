"""Heads `d128`, `d512` and `mlp`: dense networks, trained with torch.

d128, d512 (Grollmisch et al. 2020): min-max normaliser; 128, or 512 and 128 ReLU units, each with
dropout 0.5; softmax; Adam at 0.001, batches of 256, 500 epochs, balanced class weights.

mlp (Cramer et al. 2019): standard normaliser; 512 and 128 ReLU units; weight decay and learning
rate each of 1e-5, 1e-4, 1e-3, chosen by the loss on a stratified tenth of the training windows;
at most 50 epochs, stopped when that loss has not fallen for 20. The paper does not name the batch
size; 256 here as well.

Seeds are fixed, and on a processor each training runs on one thread: the same data give the same
network.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from sklearn.model_selection import train_test_split
from sklearn.utils.validation import check_is_fitted, validate_data

from edgeaudio.errors import MissingExtraError
from edgeaudio.types import F32, F64
from edgeaudio_export.graphs import GraphBuilder
from edgeaudio_export.heads import normalisers
from edgeaudio_export.heads.base import Head, softmax

if TYPE_CHECKING:
    from torch import Tensor

BATCH = 256
SEED = 0
Layers = tuple[tuple[F32, F32], ...]
"""Weights [in, out] and biases [out], layer by layer."""


class DenseHead(Head):
    """A dense network on normalised embeddings; the heads below set its shape.

    After `fit`: classes_ [C], offset_ and scale_ [D], layers_.
    """

    hidden: tuple[int, ...]
    normaliser: normalisers.NormaliserName

    @classmethod
    def ready(cls) -> None:
        """Raise MissingExtraError unless torch is installed."""
        if find_spec("torch") is None:
            raise MissingExtraError(
                f"The head {cls.kind} needs torch, which is not installed; in the checkout of "
                'edgeaudio: pip install ".[train]"'
            )

    def fit(self, X: Any, y: Any) -> DenseHead:
        """Train on embeddings [N, D] and N labels of at least two classes."""
        self.ready()
        X, y = validate_data(self, X, y, dtype=np.float64)
        self.offset_, self.scale_ = normalisers.fit(self.normaliser, X)
        self.classes_, indices = np.unique(y, return_inverse=True)
        inputs = ((X - self.offset_) * self.scale_).astype(np.float32)
        with _one_thread():
            self.layers_ = self._train(inputs, indices.astype(np.int64))
        return self

    def _train(self, inputs: F32, targets: Any) -> Layers:
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
            scores = _network(self.layers_, dropout=0.0).eval()(torch.from_numpy(scaled).float())
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
    """`d128`. Parameters: epochs."""

    kind = "d128"
    normaliser = "min-max"
    hidden: tuple[int, ...] = (128,)

    def __init__(self, epochs: int = 500) -> None:
        self.epochs = epochs

    def _train(self, inputs: F32, targets: Any) -> Layers:
        network = _new_network(inputs.shape[1], self.hidden, int(targets.max()) + 1, dropout=0.5)
        for _ in _epochs(network, inputs, targets, rate=1e-3, decay=0.0, count=self.epochs):
            pass
        return _layers(network)


class D512Head(D128Head):
    """`d512`. Parameters: epochs."""

    kind = "d512"
    hidden = (512, 128)


class MlpHead(DenseHead):
    """`mlp`. Parameters: epochs, at most; patience, in epochs; grid, of rates and decays."""

    kind = "mlp"
    normaliser = "standard"
    hidden = (512, 128)

    def __init__(
        self,
        epochs: int = 50,
        patience: int = 20,
        grid: tuple[float, ...] = (1e-5, 1e-4, 1e-3),
    ) -> None:
        self.epochs = epochs
        self.patience = patience
        self.grid = grid

    def _train(self, inputs: F32, targets: Any) -> Layers:
        counts = np.bincount(targets)
        # A class with a single window can't be on both sides.
        stratify = targets if counts.min() > 1 and len(targets) >= 10 * len(counts) else None
        train, held = train_test_split(
            np.arange(len(targets)), test_size=0.1, random_state=SEED, stratify=stratify
        )
        best: tuple[float, Layers] | None = None
        for rate, decay in product(self.grid, self.grid):
            loss, layers = self._stopped_early(inputs, targets, train, held, rate, decay)
            if best is None or loss < best[0]:
                best = loss, layers
        assert best is not None
        return best[1]

    def _stopped_early(
        self, inputs: F32, targets: Any, train: Any, held: Any, rate: float, decay: float
    ) -> tuple[float, Layers]:
        """Loss on the held-out windows where it was least, and the network at that time."""
        import torch

        network = _new_network(inputs.shape[1], self.hidden, int(targets.max()) + 1, dropout=0.0)
        x, y = torch.from_numpy(inputs[held]), torch.from_numpy(targets[held])
        best, since = (float("inf"), _layers(network)), 0
        for _ in _epochs(
            network, inputs[train], targets[train], rate=rate, decay=decay, count=self.epochs
        ):
            with torch.no_grad():
                loss = float(torch.nn.functional.cross_entropy(network(x), y))
            since += 1
            if loss < best[0]:
                best, since = (loss, _layers(network)), 0
            if since >= self.patience:
                break
        return best


@contextmanager
def _one_thread() -> Iterator[None]:
    """torch on one thread, with its seed fixed, and afterwards as it was."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            yield
    finally:
        torch.set_num_threads(threads)


def _new_network(dimensions: int, hidden: tuple[int, ...], classes: int, dropout: float) -> Any:
    """Drawn as Keras does by default, which the papers used: Glorot's uniform, biases 0."""
    import torch

    torch.manual_seed(SEED)
    sizes = (dimensions, *hidden, classes)
    layers = []
    for size, next_size in pairwise(sizes):
        weight = torch.nn.init.xavier_uniform_(torch.empty(size, next_size))
        layers.append((weight.numpy(), np.zeros(next_size, np.float32)))
    return _network(tuple(layers), dropout)


def _network(layers: Layers, dropout: float) -> Any:
    from torch import from_numpy
    from torch.nn import Dropout, Linear, Parameter, ReLU, Sequential

    parts: list[Any] = []
    for k, (weight, bias) in enumerate(layers):
        linear = Linear(*weight.shape)
        linear.weight = Parameter(from_numpy(weight.T.copy()))
        linear.bias = Parameter(from_numpy(bias.copy()))
        parts.append(linear)
        if k < len(layers) - 1:
            parts += [ReLU(), Dropout(dropout)]
    return Sequential(*parts)


def _layers(network: Any) -> Layers:
    """Copies of the weights."""
    linear = [part for part in network if hasattr(part, "weight")]
    return tuple(
        (part.weight.detach().numpy().T.copy(), part.bias.detach().numpy().copy())
        for part in linear
    )


def _epochs(
    network: Any, inputs: F32, targets: Any, *, rate: float, decay: float, count: int
) -> Iterator[None]:
    """Train with Adam and balanced class weights; yields after each epoch, in test mode."""
    import torch

    x, y = torch.from_numpy(inputs), torch.from_numpy(targets)
    counts = np.bincount(targets, minlength=int(targets.max()) + 1)
    balanced = len(targets) / (len(counts) * np.maximum(counts, 1))
    loss = torch.nn.CrossEntropyLoss(torch.from_numpy(balanced.astype(np.float32)))
    adam = torch.optim.Adam(network.parameters(), lr=rate, weight_decay=decay, fused=True)
    for _ in range(count):
        network.train()
        order = torch.randperm(len(y))
        for start in range(0, len(y), BATCH):
            batch = order[start : start + BATCH]
            _step(network, adam, loss, x[batch], y[batch])
        network.eval()
        yield


def _step(network: Any, adam: Any, loss: Any, x: Tensor, y: Tensor) -> None:
    adam.zero_grad(set_to_none=True)
    loss(network(x), y).backward()
    adam.step()
