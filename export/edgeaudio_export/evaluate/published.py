"""Figures that were published, to stand beside ours."""

from __future__ import annotations

from dataclasses import dataclass

_GROLLMISCH = "Grollmisch et al. 2020"
_CRAMER = "Cramer et al. 2019"


@dataclass(frozen=True)
class Published:
    """accuracy: percent of recordings, late fusion, 80 % (or the official training folds).

    extractor: how ours that is meant begins its id; head: ours.
    """

    source: str
    name: str
    extractor: str
    head: str
    accuracy: float


def _grollmisch(
    scratch: float, vggish: float, openl3: tuple[float, float, float], kumar: float
) -> tuple[Published, ...]:
    """Table I. OpenL3: mel256, music, 512 dimensions; with svm, d128, d512."""
    name = "openl3-mel256-music-512"
    heads = zip(("svm", "d128", "d512"), openl3, strict=True)
    return (
        Published(_GROLLMISCH, "network trained from scratch", "logmel", "cnn", scratch),
        Published(_GROLLMISCH, "VGGish", "vggish", "svm", vggish),
        *(Published(_GROLLMISCH, "OpenL3", name, head, figure) for head, figure in heads),
        Published(_GROLLMISCH, "Kumar", "kumar", "svm", kumar),
    )


def _cramer(openl3: str, best: float, vggish: float, soundnet: float) -> tuple[Published, ...]:
    return (
        Published(_CRAMER, f"OpenL3 {openl3}", f"openl3-{openl3.replace(' ', '-')}", "mlp", best),
        Published(_CRAMER, "VGGish", "vggish", "mlp", vggish),
        Published(_CRAMER, "SoundNet", "soundnet", "mlp", soundnet),
    )


PUBLISHED: dict[str, tuple[Published, ...]] = {
    "t1": _grollmisch(81.0, 69.5, (84.5, 82.0, 83.5), 79.5),
    "t2": _grollmisch(94.0, 100.0, (97.0, 96.0, 96.0), 99.0),
    "t3": _grollmisch(88.6, 85.1, (91.5, 92.0, 91.7), 87.8),
    "t4": _grollmisch(95.7, 33.3, (93.0, 87.8, 91.4), 66.8),
    "t5": _grollmisch(99.1, 36.3, (97.1, 96.8, 97.4), 96.2),
    "t6": _grollmisch(89.1, 20.0, (84.7, 80.0, 78.0), 52.7),
    "esc50": (
        *_cramer("mel256 music", 79.82, 73.54, 47.66),
        Published(_GROLLMISCH, "OpenL3 with dropout", "openl3-mel256-music", "d512", 81.35),
    ),
    "urbansound8k": _cramer("mel256 env", 79.34, 73.43, 68.80),
    "dcase2013": _cramer("mel256", 97.0, 93.0, 76.0),
}
"""By the id of the data set."""
