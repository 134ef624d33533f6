"""Live sound from a microphone, through PortAudio.

PortAudio's thread only copies into a ring buffer; everything else happens in ours. When the
device stops delivering, the blocks end with an error: a microphone that is dead must not
look like one that hears nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from edgeaudio.audio.devices import Microphone, find_microphone, list_microphones, portaudio
from edgeaudio.audio.ring import RingBuffer
from edgeaudio.audio.source import Source
from edgeaudio.errors import MicrophoneError
from edgeaudio.types import Block

BUFFER_SECONDS = 5.0
"""How long inference may stall before sound is lost."""

CALLBACK_SECONDS = 0.05
BATCH_SECONDS = 0.1
"""How much sound is worth waking up for."""

LATENCY_SECONDS = 0.5
"""Asked of the sound card: ample, since under load a short buffer loses sound."""

FIRST_BLOCK_SECONDS = 5.0
SILENCE_SECONDS = 3.0
"""Without any data for so long, the microphone counts as dead (the first block may take 2 s)."""

CLOSE_SECONDS = 2.0

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
        rate = self.sample_rate
        self._ring = RingBuffer(
            int(BUFFER_SECONDS * rate), self.channels, batch=int(BATCH_SECONDS * rate)
        )
        self._stream: Any = None
        try:
            self._stream = self._portaudio.InputStream(
                device=microphone.index,
                samplerate=rate,
                channels=self.channels,
                dtype="float32",
                blocksize=int(CALLBACK_SECONDS * rate),
                latency=LATENCY_SECONDS,
                callback=self._on_sound,
                finished_callback=self._ring.close,
            )
            self._stream.start()
        except self._portaudio.PortAudioError as error:
            self.close()
            raise MicrophoneError(
                f"The microphone {self.name!r} can't be opened: {_text(error)}. "
                "Is another program using it?"
            ) from None

    def blocks(self) -> Iterator[Block]:  # noqa: D102
        patience = FIRST_BLOCK_SECONDS
        while True:
            block = self._ring.read(patience)
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
        closer = threading.Thread(target=stream.close, daemon=True)
        closer.start()
        closer.join(CLOSE_SECONDS)
        _hung = _hung or closer.is_alive()

    def _on_sound(self, samples: Any, frames: int, time: Any, status: Any) -> None:
        self._ring.write(samples, gap=bool(status.input_overflow))

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
