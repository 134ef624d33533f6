"""Live sound from a microphone, through PortAudio.

A thread empties the sound card into a ring buffer; everything else happens in ours. It sleeps
until a window is complete, by the clock, and then takes what is there: so nobody is woken for
every few milliseconds of sound, and no window waits for a block to fill. When the device stops
delivering, the blocks end with an error: a microphone that is dead must not look like one that
hears nothing.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from edgeaudio.audio.devices import Microphone, find_microphone, list_microphones, portaudio
from edgeaudio.audio.ring import RingBuffer
from edgeaudio.audio.source import Source
from edgeaudio.errors import MicrophoneError
from edgeaudio.types import Block

BUFFER_SECONDS = 5.0
"""How long inference may stall before sound is lost."""

LATENCY_SECONDS = 0.5
"""Asked of the sound card: ample, since under load a short buffer loses sound."""

DRAIN_SECONDS = 0.15
"""How long sound stays with the sound card, unless a window is complete before."""

BATCH_SECONDS = 0.1
"""How much sound is worth waking up for, unless the reader says."""

MOST_SECONDS = 0.5
"""How much is handed over at once, unless we are behind: losses are declared that soon."""

FIRST_BLOCK_SECONDS = 5.0
SILENCE_SECONDS = 3.0
"""Without any data for so long, the microphone counts as dead (the first block may take 2 s)."""

CLOSE_SECONDS = 2.0

_POLL_SECONDS = (0.001, 0.008)  # between looks at a card that is late, at first and in the end

# Pieces of its buffer in which a card of ALSA reports sound: the finer, the earlier we know.
# Hardware may have a limit, and would shorten the whole buffer rather than coarsen the pieces.
_PERIODS = (100, 32, 16, 4)
_PERIOD_SECONDS = 0.005

# Most sound hardware of today runs at 48 kHz; asking a sound server or a `plug` device for
# that leaves it the least to convert. Hardware that can't says so, and its own rate is next.
_RATES = (48_000, 44_100, 16_000, 32_000, 96_000, 8_000)


_hung = False


def hung() -> bool:
    """Whether PortAudio hung on a dead device: the process can then only leave by `os._exit`."""
    return _hung


class MicrophoneSource(Source):
    """A capture device by name, part of a name, or index (None: the system's default).

    It runs at a rate and channel count of its own; conversion happens in this program.
    Raises MicrophoneError if there is none, or it can't be opened.
    """

    def __init__(self, device: str | None = None) -> None:
        self._portaudio = portaudio()
        microphone = find_microphone(device, list_microphones())
        self.name = microphone.name
        self.sample_rate, self.channels = self._choose_format(microphone)
        self._expected = int(BATCH_SECONDS * self.sample_rate)
        self._ring = RingBuffer(int(BUFFER_SECONDS * self.sample_rate), self.channels)
        self._stream: Any = None
        try:
            self._stream = self._open(microphone.index)
            self._recorder = threading.Thread(
                target=self._record, args=(self._stream,), daemon=True
            )
            self._stream.start()
        except self._portaudio.PortAudioError as error:
            self.close()
            raise MicrophoneError(
                f"The microphone {self.name!r} can't be opened: {_text(error)}. "
                "Is another program using it?"
            ) from None
        self._recorder.start()

    def expect(self, frames: int) -> None:  # noqa: D102
        self._expected = min(frames, int(MOST_SECONDS * self.sample_rate))

    def blocks(self) -> Iterator[Block]:  # noqa: D102
        patience = FIRST_BLOCK_SECONDS
        while True:
            block = self._ring.read(patience, self._expected)
            if block is None:
                raise MicrophoneError(
                    f"The microphone {self.name!r} stopped delivering sound"
                    + ("." if self._ring.closed else f" (nothing for {patience:.0f} s).")
                    + " Check its plug and the sound server, then start again."
                )
            patience = SILENCE_SECONDS
            yield block

    def close(self) -> None:
        """Stop recording. PortAudio may hang on a dead device; then it is left behind (`hung`)."""
        global _hung
        stream, self._stream = self._stream, None
        if stream is None:
            return
        self._ring.close()
        closer = threading.Thread(target=self._close, args=(stream,), daemon=True)
        closer.start()
        closer.join(CLOSE_SECONDS)
        _hung = _hung or closer.is_alive()

    def _close(self, stream: Any) -> None:
        if self._recorder.ident is not None:
            self._recorder.join()
        stream.close()

    def _open(self, index: int) -> Any:
        """A stream that is read; with as fine pieces as the card has at the length asked for."""
        for periods in _PERIODS:
            told = self._tell_periods(periods)
            try:
                stream = self._portaudio.RawInputStream(
                    device=index,
                    samplerate=self.sample_rate,
                    channels=self.channels,
                    dtype="float32",
                    blocksize=int(_PERIOD_SECONDS * self.sample_rate),
                    latency=LATENCY_SECONDS,
                )
            except self._portaudio.PortAudioError:
                if told and periods != _PERIODS[-1]:
                    continue  # hardware may refuse so many
                raise
            if not told or stream.latency >= 0.9 * LATENCY_SECONDS:
                break
            if periods != _PERIODS[-1]:
                stream.close()
        return stream

    def _tell_periods(self, periods: int) -> bool:
        """Whether PortAudio could be told: it has a function for ALSA that sounddevice leaves out.

        The library is open already, so this gives the same one.
        """
        try:
            library = ctypes.CDLL(self._portaudio._libname)
            return bool(library.PaAlsa_SetNumPeriods(periods) == 0)
        except (AttributeError, OSError):
            return False

    def _record(self, stream: Any) -> None:
        """Sound card to ring buffer, until either is closed; the recorder's thread."""
        ring, rate = self._ring, self.sample_rate
        seen, late, last = 0, _POLL_SECONDS[0], time.monotonic()
        try:
            # A card may have a shorter buffer than was asked for: never wait until it is full.
            drain = max(1, int(min(DRAIN_SECONDS, stream.latency / 2) * rate))
            while not ring.closed:
                missing = ring.missing()
                wanted = min(missing, drain) if missing else drain
                there = stream.read_available
                if there >= wanted:
                    sound, overflowed = stream.read(there)
                    samples = np.frombuffer(sound, np.float32).reshape(-1, self.channels)
                    now = time.monotonic()
                    # What the card could not keep is what has sounded since, less what is here.
                    lost = max(0, round((now - last) * rate) - there) if overflowed else 0
                    ring.write(samples, gap=overflowed, missing=lost)
                    last = now
                    seen, late = 0, _POLL_SECONDS[0]
                    continue
                late = _POLL_SECONDS[0] if there != seen else min(2 * late, _POLL_SECONDS[1])
                seen = there
                ring.rest(max(late, (wanted - there) / rate))
        except self._portaudio.PortAudioError:
            pass  # the reader finds the ring closed, and says so
        finally:
            ring.close()

    def _choose_format(self, microphone: Microphone) -> tuple[int, int]:
        """The first rate and channel count that the device takes, in Hz and count."""
        channels = dict.fromkeys((min(microphone.channels, 2), microphone.channels, 1))
        rates = dict.fromkeys((_RATES[0], microphone.sample_rate, *_RATES[1:]))
        reason = ""
        for count in channels:
            for rate in rates:
                try:
                    self._portaudio.check_input_settings(
                        microphone.index, count, "float32", samplerate=rate
                    )
                except self._portaudio.PortAudioError as error:
                    reason = reason or _text(error)
                else:
                    return rate, count
        raise MicrophoneError(f"The microphone {microphone.name!r} takes no format: {reason}.")


def _text(error: Exception) -> str:
    return str(error.args[0] if error.args else error).strip().rstrip(".")
