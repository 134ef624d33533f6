"""Official weight files to canonical arrays: one reader a format, none of which runs anything.

A reader takes a path and gives float32 arrays whose names and shapes are those of its layout.
It raises WeightsFileError for any other file, and MissingExtraError for a missing package.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edgeaudio.errors import EdgeAudioError
from edgeaudio_export.weights.importers import kumar, layouts, openl3, torchfile, vggish, yamnet
from edgeaudio_export.weights.importers.common import Arrays, Layout, check_shapes, package


@dataclass(frozen=True, slots=True)
class Importer:
    """How one kind of weights is read, and what must come out.

    ready: raises MissingExtraError unless the package that reads the published file is here.
    """

    read: Callable[[Path], Arrays]
    layout: Layout
    ready: Callable[[], object]

    def check(self, arrays: Arrays, path: Path) -> None:
        """Raise WeightsFileError unless stored arrays are still those of the layout."""
        check_shapes({name: array.shape for name, array in arrays.items()}, self.layout, path)


_h5py = partial(package, "h5py", "export")
_tflite = partial(package, "tflite", "export")
_torch = torchfile.torch_package

IMPORTERS = {
    "openl3-linear": Importer(partial(openl3.read, bands=0), layouts.OPENL3, _h5py),
    "openl3-mel128": Importer(partial(openl3.read, bands=128), layouts.OPENL3, _h5py),
    "openl3-mel256": Importer(partial(openl3.read, bands=256), layouts.OPENL3, _h5py),
    "vggish": Importer(vggish.read, layouts.VGGISH, _torch),
    "vggish-pca": Importer(vggish.read_pca, layouts.VGGISH_PCA, _torch),
    "kumar": Importer(kumar.read, layouts.KUMAR, _torch),
    "yamnet": Importer(yamnet.read, layouts.YAMNET, _tflite),
}


def get_importer(name: str) -> Importer:
    """The importer called `name`. Raises EdgeAudioError."""
    if name not in IMPORTERS:
        raise EdgeAudioError(f"There is no importer {name!r}; there is: {', '.join(IMPORTERS)}.")
    return IMPORTERS[name]
