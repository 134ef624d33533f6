"""Everything that edgeaudio raises on purpose.

EdgeAudioError              exit status 2: a request that can't be carried out
 ├── AudioFileError         1: a recording can't be read as sound
 ├── DataError              2: a data set can't be trained on
 ├── OutputError            2: a file can't be written
 │    └── OutputExistsError 2: a file would be overwritten
 ├── MissingExtraError      2: an optional package is not installed
 ├── MissingWeightsError    2: the weights of an extractor are not on this machine
 ├── ModelFileError         3: a model file is not ours, damaged, or from another version
 │    ├── GoldenVectorError 3: a model file gives other numbers here than where it was made
 │    └── WeightsFileError  3: a file of weights is damaged, hostile, or has another layout
 └── MicrophoneError        4: no microphone, or it stopped delivering

Each message is one or two sentences for the person who reads it: what was wrong, with the
value, what was expected, what to do. The command line prints it and ends with the status.
"""

from __future__ import annotations


class EdgeAudioError(Exception):
    """Root of the tree. `exit_status` is what the command line ends with."""

    exit_status = 2


class AudioFileError(EdgeAudioError):
    """A recording is missing, unreadable, empty, too short, or holds values that are no sound."""

    exit_status = 1


class DataError(EdgeAudioError):
    """A data set can't be used: no classes, contradictory labels, nothing readable."""


class OutputError(EdgeAudioError):
    """The output can't be written there: no folder, no permission, no space, no regular file."""


class OutputExistsError(OutputError):
    """The output is there already, and overwriting was not asked for."""


class MissingExtraError(EdgeAudioError):
    """A command needs an optional package; the message names the extra that brings it."""


class MissingWeightsError(EdgeAudioError):
    """Weights are needed that were not fetched or imported yet; the message says how to."""


class ModelFileError(EdgeAudioError):
    """A model or head file is not ours, damaged, or has another schema version."""

    exit_status = 3


class GoldenVectorError(ModelFileError):
    """The golden vectors of a model file don't hold on this machine."""


class WeightsFileError(ModelFileError):
    """A file of weights can't be read, or holds other arrays than the network needs."""


class MicrophoneError(EdgeAudioError):
    """There is no such microphone, it can't be opened, or it stopped delivering."""

    exit_status = 4


class NothingToQuantiseError(EdgeAudioError):
    """A network has no layer that int8 could make lighter."""
