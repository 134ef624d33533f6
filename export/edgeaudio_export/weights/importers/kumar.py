"""Kumar's weights: a state dict that PyTorch 0.3 saved under Python 2, with or without `module.`"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeaudio.errors import WeightsFileError
from edgeaudio_export.weights.importers import layouts, torchfile
from edgeaudio_export.weights.importers.common import Arrays, reading

_KIND = "Kumar's weights (.pkl)"
_MAX_BYTES = 200_000_000  # the official file has about 18 MB
_WRAPPER = "module."


def read(path: Path) -> Arrays:
    """The arrays of `layouts.KUMAR`. Raises WeightsFileError, MissingExtraError without torch."""
    with reading(path, _KIND):
        found: dict[str, Any] = {}
        for key, value in torchfile.load(path, _MAX_BYTES).items():
            # As the authors' code has it: a key that holds the word anywhere loses 7 characters.
            name = key[len(_WRAPPER) :] if _WRAPPER in key else key
            if name.endswith("num_batches_tracked"):  # a counter that later torch adds
                continue
            if name in found:
                raise WeightsFileError(f"{path} holds {name[:100]!r} twice.")
            found[name] = value
        return torchfile.to_arrays(found, layouts.KUMAR, path)
