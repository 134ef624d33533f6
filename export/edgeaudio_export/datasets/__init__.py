"""Labelled recordings: from class folders, from a manifest, or generated."""

from edgeaudio_export.datasets.load import load_dataset
from edgeaudio_export.datasets.recordings import Dataset, Recording, Skipped

__all__ = ["Dataset", "Recording", "Skipped", "load_dataset"]
