"""The heads by name."""

from __future__ import annotations

from collections.abc import Mapping

from edgeaudio.errors import EdgeAudioError
from edgeaudio_export.heads.base import Head
from edgeaudio_export.heads.cnn import CnnHead
from edgeaudio_export.heads.dense import D128Head, D512Head, MlpHead
from edgeaudio_export.heads.knn import KnnHead
from edgeaudio_export.heads.svm import SvmHead

HEADS: Mapping[str, type[Head]] = {
    head.kind: head for head in (SvmHead, D128Head, D512Head, MlpHead, KnnHead, CnnHead)
}


def new_head(kind: str, seed: int = 0) -> Head:
    """A head to be fitted. seed: for those that draw; the others are the same with any."""
    head = HEADS[kind]()
    return head.set_params(random_state=seed) if "random_state" in head.get_params() else head


def check_head(kind: str, extractor: str | None = None) -> None:
    """Raise EdgeAudioError, listing what there is, unless there is such a head.

    extractor: the id of the one that it shall go with. Raises MissingExtraError without what the
    head needs.
    """
    if kind not in HEADS:
        raise EdgeAudioError(f"There is no head {kind!r}; there are: {', '.join(HEADS)}.")
    if extractor is not None and not goes_with(kind, extractor):
        raise EdgeAudioError(
            f"The head {kind} goes with the extractor {HEADS[kind].extractor} alone, not with "
            f"{extractor}."
        )
    HEADS[kind].ready()


def goes_with(kind: str, extractor: str) -> bool:
    """Whether a head can take the embeddings of the extractor called so."""
    return HEADS[kind].extractor in (None, extractor)
