from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeaudio.audio.source import ArraySource
from edgeaudio.audio.windows import Windower, windows_of
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
    found = [*windower.push(Block(ones, 0)), *windower.push(Block(twos, 100, gap=True))]
    assert [(w.start, set(w.samples.tolist())) for w in found] == [
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


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_resampled_time_is_kept(rate: int) -> None:
    samples = np.zeros(rate * 2, np.float32)
    samples[rate] = 1.0  # a click at 1 s
    (window,) = windows_of(ArraySource(samples, rate), WindowSpec(16_000, 31_000, 16_000))
    assert abs(int(np.argmax(window.samples)) - 16_000) <= 1
