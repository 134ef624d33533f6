"""Heads: embedding to likelihoods. scikit-learn estimators that become plain ONNX graphs."""

from edgeaudio_export.heads.file import HeadFile, read_head, write_head
from edgeaudio_export.heads.foreign import save_sklearn
from edgeaudio_export.heads.svm import SvmHead

__all__ = ["HeadFile", "SvmHead", "read_head", "save_sklearn", "write_head"]
