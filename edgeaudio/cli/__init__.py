"""The command line: parsing and printing only. One module a command."""

from edgeaudio.cli.entry import main

__all__ = ["main"]
