"""Ranges, grids, folding and equalising, each on its own."""

from __future__ import annotations

import numpy as np
import pytest

from edgeaudio_export.quantise import exact, folding, layers
from edgeaudio_export.quantise import graph as graphs
from edgeaudio_export.quantise.equalise import equalise, pairs
from edgeaudio_export.quantise.outcome import fit
from edgeaudio_export.quantise.ranges import METHODS, Histogram, minmax, percentile, scale_of
from edgeaudio_export.quantise.survey import centred_cosine, embeddings, largest_by_channel
from tests.export.quantise import networks


def test_a_histogram_grows_with_its_values() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.standard_normal(10_000).astype(np.float32) * scale for scale in (1e-3, 1, 50)]
    histogram = Histogram()
    for part in parts:
        histogram.add(part)
    every = np.concatenate(parts)
    assert histogram.counts.sum() == every.size
    assert minmax(histogram) == (every.min(), every.max())
    low, high = percentile(99.9)(histogram)
    bin_width = 2 * histogram.edge / len(histogram.counts)
    for values, end in ((every, high), (-every, -low)):
        assert (values > end).mean() <= 5e-4 <= (values > end - 2 * bin_width).mean() + 5e-5


@pytest.mark.parametrize("method", METHODS)
def test_ranges_hold_zero_and_nothing_unseen(method: str) -> None:
    for low, high in ((0.0, 3.0), (-2.0, 5.0), (1.0, 2.0), (0.0, 0.0)):
        histogram = Histogram()
        histogram.add(np.linspace(low, high, 1000, dtype=np.float32))
        found = METHODS[method](histogram)
        assert min(low, 0) <= found[0] <= 0 <= found[1] <= max(high, 0)
        scale = scale_of(found)
        assert 0 <= scale.zero <= 255
        if low >= 0:
            assert scale.zero == 0


def test_values_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        Histogram().add(np.array([1, np.inf], np.float32))


@pytest.mark.parametrize("values", [9, 72, 600])
def test_sums_on_the_grid_are_exact(values: int) -> None:
    rng = np.random.default_rng(values)
    weight, bias = rng.standard_normal((8, values)), rng.standard_normal(8)
    step, limit = exact.input_step(3.7)
    grid = exact.on_grid(weight, bias, limit, step)
    x = rng.integers(-limit, limit + 1, values).astype(np.float32)
    wanted = grid.weight.astype(np.float64) @ x + grid.bias
    for _ in range(5):
        order = rng.permutation(values)
        total = grid.bias.copy()
        for i in order:
            total += grid.weight[:, i] * x[i]
        assert np.array_equal(total, wanted)
    assert np.allclose(grid.weight / step, weight, atol=2.0 ** (1 - grid.bits) * 4)


def test_folding_changes_nothing() -> None:
    model = networks.mobile()
    folded = folding.fold(graphs.read(model))
    assert "BatchNormalization" not in {node.op_type for node in folded.nodes}
    windows = networks.windows(4)
    assert np.allclose(
        embeddings(model, windows), embeddings(folded.model, windows), rtol=1e-4, atol=1e-5
    )


def test_equalising_changes_nothing_but_the_ranges() -> None:
    graph = folding.fold(graphs.read(networks.mobile()))
    found = layers.find(graph)
    windows = networks.windows(6)
    largest = largest_by_channel(graph, found, windows)
    equal = graphs.read(equalise(graph, found, largest))
    wanted = embeddings(graph.model, windows)
    assert np.allclose(embeddings(equal.model, windows), wanted, rtol=1e-4, atol=1e-5)
    after = largest_by_channel(equal, layers.find(equal), windows)
    depthwise = [first.output for first, second in pairs(graph, found) if second.is_depthwise]
    assert depthwise
    for name in depthwise:
        heard = after[name][after[name] > 0]
        assert heard.max() / heard.min() == pytest.approx(1, rel=1e-3)


def test_a_correction_undoes_factor_and_shift() -> None:
    wanted = np.random.default_rng(0).standard_normal((200, 5)).astype(np.float32)
    correction = fit(wanted, wanted * np.float32(1.02) + np.float32(0.3))
    moved = correction.apply(wanted * np.float32(1.02) + np.float32(0.3))
    assert np.abs(moved - wanted).max() < 0.02
    assert centred_cosine(wanted, moved) > 0.9999
