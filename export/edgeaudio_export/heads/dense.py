"""Heads `d128`, `d512` and `mlp`: dense networks, trained with torch.

d128, d512 (Grollmisch et al. 2020): min-max normaliser; 128, or 512 and 128 ReLU units, each with
dropout 0.5; softmax; Adam at 0.001, batches of 256, 500 epochs, balanced class weights.

mlp (Cramer et al. 2019): standard normaliser; 512 and 128 ReLU units; weight decay and learning
rate each of 1e-5, 1e-4, 1e-3, chosen by the loss on a stratified tenth of the training data (whole
groups, where `fit` is told of groups); at most 50 epochs, stopped when that loss has not fallen
for 20. The paper does not name the batch size; 256 here as well.

Seeds are fixed, and on a processor each training runs on one thread: the same data give the same
network. Numbers too small for float32's full precision are taken as 0: they would cost half of
the time and carry nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from sklearn.utils.validation import check_is_fitted, validate_data

from edgeaudio.errors import MissingExtraError
from edgeaudio.types import F32, F64
from edgeaudio_export.graphs import GraphBuilder
from edgeaudio_export.heads import normalisers
from edgeaudio_export.heads.base import Head, softmax

if TYPE_CHECKING:
    from torch import Tensor

BATCH = 256
Layers = tuple[tuple[F32, F32], ...]
"""Weights [in, out] and biases [out], layer by layer."""


def require_torch(kind: str) -> None:
    """Raise MissingExtraError, naming the head, unless torch is installed."""
    if find_spec("torch") is None:
        raise MissingExtraError(
            f"The head {kind} needs torch, which is not installed; in the checkout of "
            'edgeaudio: pip install ".[train]"'
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
            scores = _network(self.layers_)(torch.from_numpy(scaled).float())
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
        layers = _drawn_layers((inputs.shape[1], *self.hidden, int(targets.max()) + 1))
        dropout = np.random.default_rng(self.random_state)
        training = _Training(layers, inputs, targets, rate=1e-3, decay=0.0, dropout=dropout)
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
        layers = _drawn_layers((inputs.shape[1], *self.hidden, int(targets.max()) + 1))
        training = _Training(layers, inputs[~held], targets[~held], rate=rate, decay=decay)
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


def held_out(targets: Any, groups: Any, seed: int) -> Any:
    """Which examples [N] to hold out: a tenth of the groups of each class, at least one.

    targets: class indices [N]. A class with a single group is not held out, and no class is held
    out whole.
    """
    random, held = np.random.default_rng(seed), np.zeros(len(targets), bool)
    for label in np.unique(targets):
        names = np.unique(groups[targets == label])
        count = max(1, round(len(names) / 10))
        for name in random.permutation(names)[:count]:
            also = held | (groups == name)
            if len(np.unique(targets[~also])) == len(np.unique(targets)):
                held = also
    return held


def balanced_weights(targets: Any) -> F32:
    """Weights of the classes [C], by which each counts the same. targets: indices [N]."""
    counts = np.bincount(targets)
    return np.asarray(len(targets) / (len(counts) * np.maximum(counts, 1)), np.float32)


@contextmanager
def one_thread(seed: int) -> Iterator[None]:
    """torch on one thread, with its seed fixed, and afterwards as it was."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)


def _drawn_layers(sizes: tuple[int, ...]) -> Layers:
    """Drawn as Keras does by default, which the papers used: Glorot's uniform, biases 0."""
    import torch

    layers = []
    for size, next_size in pairwise(sizes):
        weight = torch.nn.init.xavier_uniform_(torch.empty(size, next_size))
        layers.append((weight.numpy(), np.zeros(next_size, np.float32)))
    return tuple(layers)


def _network(layers: Layers) -> Any:
    """As torch's own modules, for what is held against them."""
    from torch import from_numpy
    from torch.nn import Linear, Parameter, ReLU, Sequential

    parts: list[Any] = []
    for weight, bias in layers:
        linear = Linear(*weight.shape)
        linear.weight = Parameter(from_numpy(weight.T.copy()))
        linear.bias = Parameter(from_numpy(bias.copy()))
        parts += [linear, ReLU()]
    return Sequential(*parts[:-1])


class _Training:
    """A dense network while it is trained: Adam, cross-entropy, balanced class weights.

    Gradients are written out. torch's own bookkeeping, and its dropout, which draws a number a
    unit where a bit will do, take a third of the time of networks as small as these.
    dropout: draws which half of the hidden units is left out of a step; None for no dropout.
    """

    def __init__(
        self,
        layers: Layers,
        inputs: F32,
        targets: Any,
        *,
        rate: float,
        decay: float,
        dropout: np.random.Generator | None = None,
    ) -> None:
        import torch

        self._weights = [torch.from_numpy(weight.copy()) for weight, _ in layers]
        self._biases = [torch.from_numpy(bias.copy()) for _, bias in layers]
        self._x, self._y = torch.from_numpy(inputs), torch.from_numpy(targets)
        classes = torch.from_numpy(balanced_weights(targets))
        self._example_weights = classes[self._y]
        self._wanted = torch.nn.functional.one_hot(self._y, len(classes)).float()
        self._dropout = dropout
        parameters = [*self._weights, *self._biases]
        for parameter in parameters:
            parameter.grad = torch.zeros_like(parameter)
        self._adam = torch.optim.Adam(parameters, lr=rate, weight_decay=decay, fused=True)

    def epoch(self) -> None:
        """All examples once, in an order that is drawn."""
        import torch

        order = torch.randperm(len(self._y))
        for start in range(0, len(order), BATCH):
            self._step(order[start : start + BATCH])

    def _step(self, batch: Tensor) -> None:
        import torch

        inputs = [self._x.index_select(0, batch)]
        for weight, bias in zip(self._weights[:-1], self._biases[:-1], strict=True):
            inputs.append(self._dropped(torch.addmm(bias, inputs[-1], weight).relu_()))
        scores = torch.addmm(self._biases[-1], inputs[-1], self._weights[-1])
        share = self._example_weights[batch]
        error = torch.softmax(scores, 1) - self._wanted.index_select(0, batch)
        error.mul_((share / share.sum())[:, None])
        for k in reversed(range(len(self._weights))):
            torch.mm(inputs[k].t(), error, out=self._weights[k].grad)
            torch.sum(error, 0, out=self._biases[k].grad)
            if k:  # what was left out, or is below 0, is 0 behind it
                error = torch.mm(error, self._weights[k].t()).mul_(inputs[k] > 0)
                error = error.mul_(2) if self._dropout else error
        self._adam.step()

    def _dropped(self, hidden: Tensor) -> Tensor:
        """With half of the units left out, and the others twice as strong."""
        import torch

        if self._dropout is None:
            return hidden
        count = hidden.numel()
        drawn = np.frombuffer(self._dropout.bytes((count + 7) // 8), np.uint8)
        kept = torch.from_numpy(np.unpackbits(drawn, count=count)).view_as(hidden)
        return hidden.mul_(kept).mul_(2)

    def scores(self, x: Tensor) -> Tensor:
        """Before the softmax, [N, C], without dropout."""
        import torch

        for weight, bias in zip(self._weights[:-1], self._biases[:-1], strict=True):
            x = torch.addmm(bias, x, weight).relu_()
        return torch.addmm(self._biases[-1], x, self._weights[-1])

    def layers(self) -> Layers:
        """Copies of the weights."""
        pairs = zip(self._weights, self._biases, strict=True)
        return tuple((weight.numpy().copy(), bias.numpy().copy()) for weight, bias in pairs)
