"""`python -m edgeaudio` is `edgeaudio`."""

from edgeaudio.cli import main

main()
