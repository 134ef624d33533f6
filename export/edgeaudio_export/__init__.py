"""The export stage: recordings to a head, extractor and head to one model file.

Runs on a workstation (`pip install "edgeaudio[export]"`). The runtime never imports it.
"""
