"""Networks to int8, with the same bits on every processor."""

from edgeaudio_export.quantise.results import Quantised, QuantisedLayer
from edgeaudio_export.quantise.search import quantise
from edgeaudio_export.quantise.targets import TARGETS, Target, get_target

__all__ = ["TARGETS", "Quantised", "QuantisedLayer", "Target", "get_target", "quantise"]
