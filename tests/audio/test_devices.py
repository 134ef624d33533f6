from __future__ import annotations

import builtins
import sys

import pytest

from edgeaudio.audio.devices import Microphone, find_microphone, portaudio
from edgeaudio.errors import MicrophoneError

USB = Microphone(2, "USB Mic: Audio (hw:1,0)", "ALSA", 1, 48_000, False)
OTHER = Microphone(3, "USB Mic 2", "ALSA", 1, 48_000, False)
DEFAULT = Microphone(5, "default", "ALSA", 32, 44_100, True)
ALL = [USB, OTHER, DEFAULT]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [(None, DEFAULT), ("5", DEFAULT), ("usb mic 2", OTHER), ("hw:1", USB), ("DEFAULT", DEFAULT)],
)
def test_found_by_default_index_name_or_part(wanted: str | None, found: Microphone) -> None:
    assert find_microphone(wanted, ALL) is found


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("usb", "Several microphones are called 'usb'.*2 'USB Mic: Audio.*3 'USB Mic 2'"),
        ("jabra", "No microphone is called 'jabra'.*5 'default'"),
        ("17", "No microphone is called '17'"),
    ],
)
def test_none_or_several_lists_what_there_is(wanted: str, message: str) -> None:
    with pytest.raises(MicrophoneError, match=message):
        find_microphone(wanted, ALL)


def test_no_microphone_at_all() -> None:
    with pytest.raises(MicrophoneError, match="There is no microphone here"):
        find_microphone(None, [])


def test_missing_portaudio_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: object, **kwargs: object) -> object:
        if name == "sounddevice":
            raise OSError("PortAudio library not found")
        return real(name, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MicrophoneError, match="apt install libportaudio2"):
        portaudio()
