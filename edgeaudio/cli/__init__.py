"""The command line: parsing and printing only. One module a command."""

from edgeaudio.cli.app import main

__all__ = ["main"]
