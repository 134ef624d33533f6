"""The microphone without a sound system: a stand-in for sounddevice that delivers at once."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgeaudio.audio import microphone
from edgeaudio.audio.devices import Microphone
from edgeaudio.audio.microphone import MicrophoneSource
from edgeaudio.audio.ring import RingBuffer
from edgeaudio.errors import MicrophoneError

RATE = 16_000
STEP = 50  # frames that arrive between two looks


class PortAudioError(Exception):
    pass


class Stream:
    """Counts up, in frames. Overflows at a read that reaches `overflow`, is gone at `gone`."""

    overflow, gone, length = 10**9, 10**9, 0.5

    def __init__(self, *, latency: float, **options: Any) -> None:
        self.options = options
        self.latency = min(latency, self.length)
        self.read_up_to = self.arrived = 0
        self.closed = False
        self.reads: list[int] = []

    def start(self) -> None:
        pass

    @property
    def read_available(self) -> int:
        self.arrived += STEP
        if self.arrived > self.gone:
            raise PortAudioError("Unanticipated host error", -9999)
        return self.arrived - self.read_up_to

    def read(self, frames: int) -> tuple[bytes, bool]:
        assert frames <= self.arrived - self.read_up_to, "would block"
        start, self.read_up_to = self.read_up_to, self.read_up_to + frames
        self.reads.append(frames)
        overflowed = start < self.overflow <= self.read_up_to
        return np.arange(start, self.read_up_to, dtype=np.float32).tobytes(), overflowed

    def close(self) -> None:
        assert not self.closed
        self.closed = True


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> type[Stream]:
    """The class of the streams that will be opened, to be given its failures."""
    chosen = type("Chosen", (Stream,), {})
    sounddevice = SimpleNamespace(
        RawInputStream=chosen,
        PortAudioError=PortAudioError,
        check_input_settings=lambda *_, **__: None,
        _libname="no such library",
    )
    found = [Microphone(0, "usb", "ALSA", 1, RATE, True)]
    monkeypatch.setattr(microphone, "portaudio", lambda: sounddevice)
    monkeypatch.setattr(microphone, "list_microphones", lambda: found)
    monkeypatch.setattr(microphone, "_RATES", (RATE,))
    monkeypatch.setattr(RingBuffer, "rest", lambda _, seconds: time.sleep(min(seconds, 0.0002)))
    return chosen


def test_every_sample_comes_in_order_and_not_before_as_many_as_expected(
    stream: type[Stream],
) -> None:
    with MicrophoneSource() as source:
        heard = 0
        for expected in (7800, 10, 1600, 8000, 3):
            source.expect(expected)
            block = next(source.blocks())
            assert block.start == heard
            assert len(block.samples) >= expected
            assert not block.gap
            heard += len(block.samples)
            assert np.array_equal(block.samples[:, 0], np.arange(block.start, heard))


def test_an_overflow_is_a_gap(stream: type[Stream]) -> None:
    stream.overflow = 9000
    with MicrophoneSource() as source:
        source.expect(4000)
        gaps = []
        for block in source.blocks():
            gaps.append(block.gap)
            if block.start > 12_000:
                break
    assert gaps.count(True) == 1


def test_a_microphone_that_is_gone_ends_the_blocks_after_what_was_heard(
    stream: type[Stream],
) -> None:
    stream.gone = 20_000
    source = MicrophoneSource()
    heard = 0

    def listen() -> None:
        nonlocal heard
        for block in source.blocks():
            heard += len(block.samples)

    with pytest.raises(MicrophoneError, match="stopped delivering sound"):
        listen()
    assert heard >= 15_000
    source.close()
    source.close()
    assert not microphone.hung()


def test_a_short_buffer_is_emptied_before_it_is_full(stream: type[Stream]) -> None:
    stream.length = 0.05
    with MicrophoneSource() as source:
        opened = source._stream
        source.expect(8000)
        next(source.blocks())
    assert max(opened.reads) < 0.05 * RATE
    assert opened.closed
