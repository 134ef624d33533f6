"""Which microphones there are, and which one is meant by a name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgeaudio.errors import MicrophoneError


@dataclass(frozen=True, slots=True)
class Microphone:
    """A capture device as PortAudio sees it. sample_rate: its default, in Hz."""

    index: int
    name: str
    system: str
    channels: int
    sample_rate: int
    default: bool


def portaudio() -> Any:
    """The sounddevice module. Raises MicrophoneError if PortAudio is not installed."""
    try:
        import sounddevice
    except OSError:
        raise MicrophoneError(
            "The PortAudio library is missing, so no microphone can be used; "
            "install it: sudo apt install libportaudio2"
        ) from None
    return sounddevice


def list_microphones() -> list[Microphone]:
    """All devices that can record. Raises MicrophoneError if PortAudio can't be used."""
    sounddevice = portaudio()
    try:
        devices, systems = sounddevice.query_devices(), sounddevice.query_hostapis()
        default = sounddevice.default.device[0]
    except sounddevice.PortAudioError as error:
        raise MicrophoneError(f"PortAudio can't list devices: {error}") from None
    return [
        Microphone(
            index=device["index"],
            name=device["name"],
            system=systems[device["hostapi"]]["name"],
            channels=device["max_input_channels"],
            sample_rate=int(device["default_samplerate"]),
            default=device["index"] == default,
        )
        for device in devices
        if device["max_input_channels"] > 0
    ]


def find_microphone(wanted: str | None, microphones: list[Microphone]) -> Microphone:
    """The microphone that `wanted` means: an index, a name, or a part of one name; None: default.

    Raises MicrophoneError, with the list, when that is none or several.
    """
    if not microphones:
        raise MicrophoneError(
            "There is no microphone here: PortAudio finds no device that can record. Plug one in "
            "(see `arecord -l`), or listen to a recording with --source file:PATH."
        )
    if wanted is None:
        found = [m for m in microphones if m.default] or microphones[:1]
    elif wanted.isdecimal():
        found = [m for m in microphones if m.index == int(wanted)]
    else:
        folded = wanted.casefold()
        found = [m for m in microphones if m.name.casefold() == folded] or [
            m for m in microphones if folded in m.name.casefold()
        ]
    if len(found) == 1:
        return found[0]
    listing = "; ".join(f"{m.index} {m.name!r}" for m in microphones)
    which = "several microphones are" if found else "no microphone is"
    raise MicrophoneError(f"{which.capitalize()} called {wanted!r}. There are: {listing}.")
