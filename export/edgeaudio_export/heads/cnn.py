"""Head `cnn`: a small convolutional network trained from scratch on log-mel spectrograms.

It takes what the extractor `logmel` gives, and says what the task alone can teach: the answer to
"is pre-training needed at all?". Grollmisch et al. 2020 set such networks beside every embedding.

Standard normaliser, one mean and deviation a band; four convolutions (5x5 by steps of 2, then
3x3) with batch normalisation and ReLU, pooled in between; the mean over bands, then mean and
maximum over time; one dense layer; 0.08 million parameters. AdamW, 1-cycle learning rate, cosine
between; against memorising: spectrograms turned around in time and moved by two bands, bands and
moments blanked, weight decay, dropout, and mixtures of two examples (mixup). Class weights are
balanced.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from sklearn.utils.validation import check_is_fitted, validate_data

from edgeaudio.errors import EdgeAudioError
from edgeaudio.types import F32, F64
from edgeaudio_export.frontends import logmel
from edgeaudio_export.graphs import GraphBuilder
from edgeaudio_export.heads import normalisers
from edgeaudio_export.heads.base import Head, softmax
from edgeaudio_export.heads.training import balanced_weights, one_thread, require_torch

if TYPE_CHECKING:
    from torch import Tensor

CHANNELS = (16, 32, 64, 96)
POOLED = (1, 2)
"""The convolutions that a maximum over 2x2 follows."""
BATCH = 64
RATE = 3e-3
DECAY = 1e-2
DROPOUT = 0.3
MIXED = 0.3
"""Both parameters of the beta distribution that mixing shares are drawn from."""
BLANKED = 8
"""So many bands and frames are blanked at most."""
SHIFTED = 2
"""So many bands a spectrogram is moved up or down at most."""
STEPS = (150, 4000)
"""At least and at most: with little data there are more epochs, with much there are fewer."""

FRAMES, BANDS = logmel.PATCH.frames, logmel.PATCH.bands


class CnnHead(Head):
    """`cnn`. Parameters: epochs; random_state, the seed.

    After `fit`: classes_ [C]; offset_ and scale_ [D]; convolutions_, weights [out, in, k, k] and
    biases [out] with the batch normalisation folded in; weight_ [2 * 96, C] and bias_ [C].
    """

    kind = "cnn"
    normaliser = "standard"
    extractor = "logmel"

    def __init__(self, epochs: int = 30, random_state: int = 0) -> None:
        self.epochs = epochs
        self.random_state = random_state

    @classmethod
    def ready(cls) -> None:
        """Raise MissingExtraError unless torch is installed."""
        require_torch(cls.kind)

    def fit(self, X: Any, y: Any, groups: Any = None) -> CnnHead:
        """Train on spectrograms [N, 3136] of `logmel` and N labels of at least two classes."""
        self.ready()
        X, y = validate_data(self, X, y, dtype=np.float32)
        if X.shape[1] != logmel.DIMENSIONS:
            raise EdgeAudioError(
                f"The head cnn looks at the {logmel.DIMENSIONS} values of the extractor logmel; "
                f"it was given {X.shape[1]}."
            )
        bands = X.reshape(-1, BANDS).astype(np.float64)
        offset, scale = normalisers.fit("standard", bands)
        self.offset_, self.scale_ = np.tile(offset, FRAMES), np.tile(scale, FRAMES)
        self.classes_, targets = np.unique(y, return_inverse=True)
        with one_thread(self.random_state):
            self._train(self._images(X), targets.astype(np.int64))
        return self

    def predict_proba(self, X: Any) -> F64:
        """Likelihoods [N, C]; each row sums to 1."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float32)
        return softmax(self._scores(X))

    def _images(self, X: F32) -> F32:
        """Normalised, [N, 1, FRAMES, BANDS]."""
        scaled = ((X - self.offset_) * self.scale_).astype(np.float32)
        return scaled.reshape(-1, 1, FRAMES, BANDS)

    def _scores(self, X: F32) -> F64:
        import torch
        from torch.nn.functional import conv2d, max_pool2d, relu

        with one_thread(self.random_state), torch.no_grad():
            x = torch.from_numpy(self._images(X))
            for k, (weight, bias) in enumerate(self.convolutions_):
                padding = weight.shape[-1] // 2
                stride = 2 if k == 0 else 1
                tensors = torch.from_numpy(weight), torch.from_numpy(bias)
                x = relu(conv2d(x, *tensors, stride, padding))
                x = max_pool2d(x, 2) if k in POOLED else x
            pooled = _pooled(x).numpy().astype(np.float64)
        return np.asarray(pooled @ self.weight_ + self.bias_)

    def _train(self, images: F32, targets: Any) -> None:
        import torch

        classes = len(self.classes_)
        network = _network(classes).to(memory_format=torch.channels_last)
        x, y = torch.from_numpy(images), torch.from_numpy(targets)
        weights = torch.from_numpy(balanced_weights(targets))
        batch = min(BATCH, len(y))
        in_epoch = len(y) // batch
        least, most = (-(-steps // in_epoch) for steps in STEPS)
        epochs = min(max(self.epochs, least), most)
        adam = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
        rates = torch.optim.lr_scheduler.OneCycleLR(adam, RATE, total_steps=epochs * in_epoch)
        random = np.random.default_rng(self.random_state)
        for _ in range(epochs):
            order = torch.randperm(len(y))
            for k in range(in_epoch):
                chosen = order[k * batch : (k + 1) * batch]
                _step(network, weights, _changed(x[chosen], random), y[chosen], random)
                adam.step()
                adam.zero_grad(set_to_none=True)
                rates.step()
        self._keep(network.eval())

    def _keep(self, network: Any) -> None:
        """Weights as numbers, batch normalisation folded into the convolutions."""
        found = []
        for convolution, norm in zip(network.convolutions, network.norms, strict=True):
            factor = norm.weight / (norm.running_var + norm.eps).sqrt()
            weight = convolution.weight * factor[:, None, None, None]
            bias = norm.bias - norm.running_mean * factor
            # A copy in the order of its axes: torch trained it in another.
            found.append(tuple(np.ascontiguousarray(v.detach().numpy()) for v in (weight, bias)))
        self.convolutions_ = tuple(found)
        self.weight_ = np.ascontiguousarray(network.dense.weight.detach().numpy().T)
        self.bias_ = network.dense.bias.detach().numpy().copy()

    def graph(self) -> onnx.ModelProto:
        """ONNX: `embedding` float32 [N, 3136] -> `likelihood` float32 [N, C]."""
        check_is_fitted(self)
        b = GraphBuilder()
        offset, scale = (v.astype(np.float32) for v in (self.offset_, self.scale_))
        x = b.add("Sub", "embedding", b.constant(offset, "normaliser.offset"))
        x = b.add("Mul", x, b.constant(scale, "normaliser.scale"))
        x = b.add("Reshape", x, b.constant([-1, 1, FRAMES, BANDS]))
        for k, (weight, bias) in enumerate(self.convolutions_):
            names = (f"convolution{k}.weight", f"convolution{k}.bias")
            constants = map(b.constant, (weight, bias), names)
            padding, stride = weight.shape[-1] // 2, 2 if k == 0 else 1
            x = b.add("Conv", x, *constants, pads=[padding] * 4, strides=[stride] * 2)
            x = b.add("Relu", x)
            if k in POOLED:
                x = b.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
        x = b.add("ReduceMean", x, axes=[3], keepdims=0)
        mean = b.add("ReduceMean", x, axes=[2], keepdims=0)
        most = b.add("ReduceMax", x, axes=[2], keepdims=0)
        x = b.add("Concat", mean, most, axis=1)
        dense = map(b.constant, (self.weight_, self.bias_), ("head.weight", "head.bias"))
        x = b.add("Gemm", x, *dense)
        x = b.add("Div", x, b.constant(np.ones(1, np.float32), "calibration.temperature"))
        b.rename_last(b.add("Softmax", x, axis=1), "likelihood")
        outputs = {"likelihood": ["N", len(self.classes_)]}
        return b.model(self.kind, {"embedding": ["N", logmel.DIMENSIONS]}, outputs)


def _network(classes: int) -> Any:
    from torch import nn

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            pairs = list(pairwise((1, *CHANNELS)))
            sizes = [5, *[3] * (len(pairs) - 1)]
            self.convolutions = nn.ModuleList(
                nn.Conv2d(*pair, size, 2 if size == 5 else 1, size // 2, bias=False)
                for pair, size in zip(pairs, sizes, strict=True)
            )
            self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for channels in CHANNELS)
            self.dropout = nn.Dropout(DROPOUT)
            self.dense = nn.Linear(2 * CHANNELS[-1], classes)

        def forward(self, x: Tensor) -> Any:
            for k, (convolution, norm) in enumerate(
                zip(self.convolutions, self.norms, strict=True)
            ):
                x = nn.functional.relu(norm(convolution(x)))
                x = nn.functional.max_pool2d(x, 2) if k in POOLED else x
            return self.dense(self.dropout(_pooled(x)))

    return Network()


def _pooled(x: Tensor) -> Tensor:
    """[N, channels, time, bands] -> [N, 2 * channels]."""
    import torch

    over_bands = x.mean(3)
    return torch.cat([over_bands.mean(2), over_bands.amax(2)], 1)


def _changed(x: Tensor, random: np.random.Generator) -> Tensor:
    """A batch, each example turned around in time, moved in pitch, with bands and frames blanked.

    x: [N, 1, FRAMES, BANDS].
    """
    import torch

    count = len(x)
    turns = (
        random.integers(FRAMES, size=(count, 1)),
        random.integers(-SHIFTED, SHIFTED + 1, size=(count, 1)),
    )
    frames, bands = (
        torch.from_numpy((np.arange(size) + turn) % size)
        for size, turn in zip((FRAMES, BANDS), turns, strict=True)
    )
    x = x[torch.arange(count)[:, None], 0, frames]
    x = x.gather(2, bands[:, None].expand(x.shape))
    x = x * _blanks(count, BANDS, random)[:, None, :] * _blanks(count, FRAMES, random)[:, :, None]
    return x[:, None]


def _blanks(count: int, size: int, random: np.random.Generator) -> Tensor:
    """0 over a stretch that is drawn for each example, else 1: [count, size]."""
    import torch

    start = random.integers(size, size=(count, 1))
    end = start + random.integers(BLANKED + 1, size=(count, 1))
    at = np.arange(size)
    return torch.from_numpy(((at < start) | (at >= end)).astype(np.float32))


def _step(network: Any, weights: Tensor, x: Tensor, y: Tensor, random: np.random.Generator) -> None:
    """Gradients of a batch, each example mixed with another one. weights: of the classes."""
    import torch

    share = torch.from_numpy(random.beta(MIXED, MIXED, size=len(y)).astype(np.float32))
    other = torch.randperm(len(y))
    mixed = share[:, None, None, None] * x + (1 - share)[:, None, None, None] * x[other]
    logarithms = torch.log_softmax(network(mixed), 1)
    loss: Any = torch.zeros(())
    total = torch.zeros(())
    for labels, part in ((y, share), (y[other], 1 - share)):
        weight = weights[labels] * part
        loss = loss - (weight * logarithms.gather(1, labels[:, None])[:, 0]).sum()
        total = total + weight.sum()
    (loss / total).backward()
