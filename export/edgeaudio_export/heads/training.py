"""Training of small networks with torch: on one thread, with fixed seeds.

Numbers too small for float32's full precision are taken as 0: they would cost half of the time
and carry nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeaudio.errors import MissingExtraError
from edgeaudio.types import F32

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


def balanced_weights(targets: Any) -> F32:
    """Weights of the classes [C], by which each counts the same. targets: indices [N]."""
    counts = np.bincount(targets)
    return np.asarray(len(targets) / (len(counts) * np.maximum(counts, 1)), np.float32)


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


def drawn_layers(sizes: tuple[int, ...]) -> Layers:
    """Drawn as Keras does by default, which the papers used: Glorot's uniform, biases 0."""
    import torch

    layers = []
    for size, next_size in pairwise(sizes):
        weight = torch.nn.init.xavier_uniform_(torch.empty(size, next_size))
        layers.append((weight.numpy(), np.zeros(next_size, np.float32)))
    return tuple(layers)


def as_torch(layers: Layers) -> Any:
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


class Training:
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
