"""Labelled recordings: from class folders, from a manifest, or generated."""

from edgeaudio_export.datasets.recordings import Dataset, Recording, Skipped, load_dataset

__all__ = ["Dataset", "Recording", "Skipped", "load_dataset"]
