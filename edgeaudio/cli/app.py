"""All commands under one name."""

from __future__ import annotations

import typer

from edgeaudio.cli.bench import bench
from edgeaudio.cli.classify import classify
from edgeaudio.cli.common import EXIT_STATUSES, help_of
from edgeaudio.cli.datasets import datasets
from edgeaudio.cli.demo import demo
from edgeaudio.cli.devices import devices
from edgeaudio.cli.embed import embed
from edgeaudio.cli.evaluate import evaluate
from edgeaudio.cli.export import export
from edgeaudio.cli.extractors import extractors
from edgeaudio.cli.listen import listen
from edgeaudio.cli.train import train
from edgeaudio.cli.verify import verify
from edgeaudio.cli.weights import weights_app

app = typer.Typer(
    help="Hears what a machine is doing, on the machine.",
    epilog=EXIT_STATUSES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for _command in (
    demo,
    datasets,
    evaluate,
    train,
    export,
    classify,
    listen,
    bench,
    devices,
    verify,
    extractors,
    embed,
):
    app.command(epilog=EXIT_STATUSES, help=help_of(_command))(_command)
app.add_typer(weights_app, name="weights", epilog=EXIT_STATUSES)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"edgeaudio {version('edgeaudio')}")
        raise typer.Exit


@app.callback()
def _options(
    show_version: bool = typer.Option(
        False, "--version", is_eager=True, callback=_print_version, help="Print the version."
    ),
) -> None:
    """Hears what a machine is doing, on the machine."""
