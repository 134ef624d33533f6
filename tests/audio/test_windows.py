from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeaudio.audio.source import ArraySource
from edgeaudio.audio.windows import Windower, passing_windows, windows_of
from edgeaudio.audio.windows import cut as cut_source
from edgeaudio.types import Block, Window, WindowSpec


def cut(samples: np.ndarray, spec: WindowSpec, block: int | None = None) -> list[Window]:
    return list(windows_of(ArraySource(samples, spec.sample_rate, block=block), spec))


def expected(samples: np.ndarray, spec: WindowSpec) -> list[np.ndarray]:
    """The definition, written down naively."""
    starts = list(range(0, len(samples) - spec.window + 1, spec.hop))
    found = [samples[s : s + spec.window] for s in starts]
    covered = starts[-1] + spec.window if starts else 0
    following = starts[-1] + spec.hop if starts else 0
    rest = samples[following:]
    if not starts or (spec.tail == "pad" and len(samples) > max(covered, following)):
        found.append(np.pad(rest, (0, spec.window - len(rest))))
    return found


@given(
    count=st.integers(1, 200),
    window=st.integers(1, 30),
    hop=st.integers(1, 50),
    block=st.integers(1, 64),
    tail=st.sampled_from(["drop", "pad"]),
)
def test_windows_are_the_definition_whatever_the_blocks(
    count: int, window: int, hop: int, block: int, tail: str
) -> None:
    samples = np.arange(1, count + 1, dtype=np.float32)
    spec = WindowSpec(16_000, window, hop, tail)  # type: ignore[arg-type]
    found = cut(samples, spec, block)
    wanted = expected(samples, spec)
    assert [w.samples.tolist() for w in found] == [w.tolist() for w in wanted]
    assert [w.start for w in found] == [i * hop for i in range(len(found))]


def test_no_window_crosses_a_gap() -> None:
    spec = WindowSpec(16_000, 10, 5)
    windower = Windower(spec)
    ones, twos = np.full(23, 1, np.float32), np.full(23, 2, np.float32)
    found = [
        (window.start, set(window.samples.tolist()))
        for block in (Block(ones, 0), Block(twos, 100, gap=True))
        for window in windower.push(block)
    ]
    assert found == [
        (0, {1.0}),
        (5, {1.0}),
        (10, {1.0}),
        (100, {2.0}),
        (105, {2.0}),
        (110, {2.0}),
    ]


def test_windows_keep_their_samples() -> None:
    first, *_ = cut(np.arange(100, dtype=np.float32), WindowSpec(16_000, 10, 5))
    assert first.samples.tolist() == list(range(10))


def test_passing_windows_are_views_of_one_buffer() -> None:
    source = ArraySource(np.arange(100, dtype=np.float32), 16_000, block=7)
    first = None
    for number, window in enumerate(passing_windows(source, WindowSpec(16_000, 10, 5))):
        assert window.samples.tolist() == list(range(number * 5, number * 5 + 10))
        first = window if first is None else first
        assert np.shares_memory(first.samples, window.samples)


@given(window=st.integers(1, 30), hop=st.integers(1, 50), block=st.integers(1, 64))
def test_what_is_missing_completes_the_next_window(window: int, hop: int, block: int) -> None:
    windower = Windower(WindowSpec(16_000, window, hop))
    heard = 0
    for number in range(4):
        end = number * hop + window
        while (missing := windower.missing) > block:
            assert heard + missing == end
            assert not list(windower.push(Block(np.zeros(block, np.float32), heard)))
            heard += block
        assert len(list(windower.push(Block(np.zeros(missing, np.float32), heard)))) == 1
        heard += missing
        assert heard == end


class Asked(ArraySource):
    """Gives just what is expected, as a live source does, and keeps it."""

    def __init__(self, samples: np.ndarray, sample_rate: int) -> None:
        super().__init__(samples, sample_rate)
        self.asked: list[int] = []

    def expect(self, frames: int) -> None:
        self.asked.append(frames)

    def blocks(self) -> Iterator[Block]:
        start = 0
        while start < len(self._samples):
            samples = self._samples[start : start + self.asked[-1]]
            yield Block(samples, start)
            start += len(samples)


def test_blocks_end_where_windows_end() -> None:
    source = Asked(np.arange(100, dtype=np.float32), 16_000)
    windows = list(windows_of(source, WindowSpec(16_000, 20, 15)))
    assert source.asked == [20, 15, 15, 15, 15, 15, 15, 10]
    assert [w.start for w in windows] == [0, 15, 30, 45, 60, 75]
    assert [w.samples[0] for w in windows] == [0, 15, 30, 45, 60, 75]


def test_blocks_are_no_longer_than_a_pause() -> None:
    source = Asked(np.zeros(100, np.float32), 16_000)
    spec = WindowSpec(16_000, 20, 15)
    assert sum(len(list(windows)) for _, windows in cut_source(source, spec, pause=0.0005)) == 6
    assert source.asked[:4] == [8, 8, 4, 8]


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_resampled_time_is_kept(rate: int) -> None:
    samples = np.zeros(rate * 2, np.float32)
    samples[rate] = 1.0  # a click at 1 s
    (window,) = windows_of(ArraySource(samples, rate), WindowSpec(16_000, 31_000, 16_000))
    assert abs(int(np.argmax(window.samples)) - 16_000) <= 1
