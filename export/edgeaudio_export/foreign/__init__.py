"""Models of other frameworks as extractors: imported, held against their source, and kept."""

from edgeaudio_export.foreign.extractor import Facts, ForeignExtractor, check_name
from edgeaudio_export.foreign.frontends import FRONTENDS
from edgeaudio_export.foreign.importing import import_model
from edgeaudio_export.foreign.kept import extractors_home, load, path_of, present, save

__all__ = [
    "FRONTENDS",
    "Facts",
    "ForeignExtractor",
    "check_name",
    "extractors_home",
    "import_model",
    "load",
    "path_of",
    "present",
    "save",
]
