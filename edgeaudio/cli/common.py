"""What several commands share: options, progress, extras, the report of skipped files."""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeaudio.errors import MissingExtraError

if TYPE_CHECKING:
    from rich.table import Table

    from edgeaudio_export.datasets import Skipped


def seconds_option(help: str, least: float, most: float) -> Any:
    """An option in seconds within bounds, which NaN is not."""
    return typer.Option(metavar="S", help=help, min=least, max=most, callback=not_nan)


def not_nan(value: float | None) -> float | None:
    """For options whose bounds NaN would pass."""
    if value is not None and math.isnan(value):
        raise typer.BadParameter("nan is no number.")
    return value


ModelOption = Annotated[Path, typer.Option("--model", "-m", help="Model file (.onnx).")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Overwrite the output file.")]
HopOption = Annotated[
    float | None, seconds_option("Seconds between windows (default: the model's).", 0.001, 3600)
]
JobsOption = Annotated[int, typer.Option("--jobs", "-j", min=0, help="Processes (0: one a core).")]
DatasetOption = Annotated[
    str | None,
    typer.Option(
        metavar="ID",
        help="The published data set that DATA is, as its archive comes; "
        "`edgeaudio datasets` lists them.",
    ),
]
DEFAULT_EXTRACTOR = "logmel-stats"
ExtractorOption = Annotated[
    str, typer.Option(help="Extractor id; `edgeaudio extractors` lists them.")
]

EXIT_STATUSES = (
    "Exit status: 0 done; 1 a recording could not be used; 2 the request can't be carried out; "
    "3 a model, head or weights file is refused; 4 no microphone, or it stopped; 130 interrupted."
)

_EXTRA_MODULES = {"export": ("onnx", "sklearn", "skl2onnx", "h5py", "tflite", "matplotlib")}
_SHOWN = 20
_TABLE_WIDTH = 80


def require_extra(extra: str) -> None:
    """Raise MissingExtraError unless the packages of `extra` are installed."""
    missing = [name for name in _EXTRA_MODULES[extra] if find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"This command needs {', '.join(missing)}, which a device does not have; "
            f'on a workstation, in the checkout of edgeaudio: pip install ".[{extra}]"'
        )


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[float, float], None]]:
    """A bar on standard error, with the time left; nothing where that is no terminal.

    Gives a function that is told how much is done, and of how much.
    """
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def status_line(title: str) -> Iterator[Callable[[str], None]]:
    """A line on standard error that says what is being done; nothing where that is no terminal."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    from rich.console import Console

    with Console(stderr=True).status(title) as status:
        yield lambda text: status.update(f"{title}: {text}")


def print_table(table: Table) -> None:
    """On standard output. A terminal of fewer than 80 columns wraps it; nothing is cut."""
    from rich.console import Console

    console = Console(markup=False, emoji=False, highlight=False)
    console.width = max(console.width, _TABLE_WIDTH)
    console.print(table)


def report_skipped(skipped: Sequence[Skipped], notes: Sequence[str] = ()) -> None:
    """Name and count what was not used, on standard error."""
    for note in notes:
        typer.echo(f"note: {note}", err=True)
    if not skipped:
        return
    typer.echo(f"skipped {counted(len(skipped), 'file')}:", err=True)
    for item in skipped[:_SHOWN]:
        typer.echo(f"  {item.path}: {item.reason}", err=True)
    if len(skipped) > _SHOWN:
        typer.echo(f"  ... and {len(skipped) - _SHOWN} more", err=True)


def help_of(command: Callable[..., Any]) -> str:
    """Its docstring with paragraphs on one line each, for typer to wrap."""
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    return "\n\n".join(" ".join(p.split("\n")) for p in paragraphs)


def counted(number: int, what: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
