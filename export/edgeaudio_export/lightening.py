"""The choice between a network in float32 and one in int8, made by measurement."""

from __future__ import annotations

from dataclasses import dataclass

from edgeaudio.errors import EdgeAudioError
from edgeaudio.quantisation import Parity, Quantisation
from edgeaudio_export.datasets.recordings import Dataset
from edgeaudio_export.embed import Progress
from edgeaudio_export.extractors import Extractor
from edgeaudio_export.heads.file import HeadFile
from edgeaudio_export.parity import measure_parity
from edgeaudio_export.quantised import LightExtractor

LEAST_COSINE = 0.9
"""Centred cosine that embeddings in int8 must have to those in float32."""

MOST_OTHERS = 5.0
"""Percent of the recordings that may get another label by the user's own head, besides what
accuracy may be lost: where float32 is wrong, int8 may be otherwise wrong, or right."""


@dataclass(frozen=True)
class Light:
    """An extractor in int8 with what was measured of it.

    objection: why it should not be used for accuracy's sake, empty if it may be. faster: whether
    its network takes less time on this machine.
    """

    extractor: Extractor
    quantisation: Quantisation
    objection: str

    @property
    def faster(self) -> bool:
        """Whether it takes less time here than the network in float32."""
        parity = self.quantisation.parity
        return parity.after.milliseconds < parity.before.milliseconds


def hold_against(
    extractor: Extractor,
    made: LightExtractor,
    dataset: Dataset,
    head: HeadFile | None,
    max_drop: float,
    *,
    jobs: int = 0,
    progress: Progress = lambda done, total: None,
) -> Light:
    """`made`, beside the `extractor` that it was made of, on `dataset`.

    max_drop: points of accuracy that it may lose. jobs: processes, 0 for one a core. Raises
    DataError without usable recordings.
    """
    parity = measure_parity(dataset, extractor, made.extractor, head, jobs=jobs, progress=progress)
    quantised = made.quantised
    quantisation = Quantisation(
        target=quantised.target,
        float_digest=extractor.digest,
        method=quantised.method,
        float_layers=tuple(x.name for x in quantised.layers if x.arithmetic == "float"),
        operators=quantised.operators,
        parity=parity,
    )
    return Light(made.extractor, quantisation, objection(parity, max_drop))


def objection(parity: Parity, max_drop: float) -> str:
    """Why a network loses too much, in a sentence; empty if it does not."""
    # Percentages are sums in floating point: a drop of exactly the limit is allowed.
    limit = max_drop + 1e-9
    accuracy, agree = parity.accuracy, parity.recordings_agree
    if accuracy and not accuracy.before - accuracy.after <= limit:
        drop = accuracy.before - accuracy.after
        return f"it loses {drop:.2f} points of accuracy, at most {max_drop:g} may be lost"
    if not parity.centred_cosine >= LEAST_COSINE:
        return (
            f"its embeddings have a centred cosine of {parity.centred_cosine:.3f} to those in "
            f"float32, at least {LEAST_COSINE} is expected"
        )
    if agree is not None and not 100 - agree <= MOST_OTHERS + limit:
        return (
            f"by this head {100 - agree:.1f} % of the recordings get another label than in "
            f"float32, at most {MOST_OTHERS + max_drop:g} % may"
        )
    return ""


def refuse(light: Light) -> None:
    """Raise EdgeAudioError, with what to try, if there is an objection."""
    if light.objection:
        raise EdgeAudioError(
            f"The network in int8 was not exported: {light.objection}. Calibrate with more of the "
            "recordings that the device will hear, train the head on more, allow more with "
            "--max-accuracy-drop, or use --quantize none."
        )
