"""`edgeaudio weights import`: an official file of weights, or any model as an extractor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeaudio.cli.common import require_extra
from edgeaudio.errors import EdgeAudioError

if TYPE_CHECKING:
    from edgeaudio_export.foreign import ForeignExtractor
    from edgeaudio_export.weights import Weights

_LEAST_SAMPLES = 400  # no window is that many seconds long
_ROUNDING = 0.01  # samples

ReplaceOption = Annotated[bool, typer.Option("--force", help="Replace what is kept under this id.")]


def import_weights(
    arguments: Annotated[
        list[str], typer.Argument(metavar="[ID] FILE", help="Official file, and what it is of.")
    ],
    name: Annotated[
        str | None,
        typer.Option("--as", metavar="NAME", help="Make an extractor of that name of any model."),
    ] = None,
    sample_rate: Annotated[
        int | None, typer.Option(help="With --as: Hz of the sound that the model takes.")
    ] = None,
    window: Annotated[
        float | None,
        typer.Option(
            help="With --as: seconds that the model takes at once; a whole number from 400 on "
            "stands for samples."
        ),
    ] = None,
    frontend: Annotated[
        str | None,
        typer.Option(help="With --as: our front-end whose log-mel the model takes, as yamnet."),
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="With --as: layer that gives the vector (default: last).")
    ] = None,
    licence: Annotated[str, typer.Option(help="With --as: licence, kept in model files.")] = "",
    force: ReplaceOption = False,
) -> None:
    """Keep weights from a file that is here already; nothing in it is run.

    `import ID FILE` takes the official file of the weights ID. `import --as NAME FILE` takes a
    Keras model (.h5, .keras), a SavedModel folder, a .tflite or .onnx file that maps a window of
    samples, or a log-mel of one of our front-ends, to a vector. It is converted, held against its
    own runtime on test sounds, and kept as the extractor NAME if it computes the same.
    """
    require_extra("export")
    foreign_only = (sample_rate, window, frontend, layer, licence or None)
    if name is None:
        if any(option is not None for option in foreign_only):
            raise EdgeAudioError(
                "--sample-rate, --window, --frontend, --layer and --licence go with --as NAME."
            )
        if len(arguments) != 2:
            raise EdgeAudioError("Give the id of the weights and one file, or --as NAME and one.")
        _import_official(arguments[0], Path(arguments[1]), force=force)
        return
    if len(arguments) != 1 or sample_rate is None or window is None:
        raise EdgeAudioError("--as NAME needs one FILE, --sample-rate and --window.")
    from edgeaudio.files import check_output
    from edgeaudio_export import foreign
    from edgeaudio_export.weights import store

    kept = foreign.path_of(name)
    store.make_folder(kept.parent)
    check_output(kept, overwrite=force, inputs=(Path(arguments[0]),))
    found = foreign.import_model(
        arguments[0],
        name=name,
        sample_rate=sample_rate,
        window=_window_samples(window, sample_rate),
        frontend=frontend,
        layer=layer,
        licence=licence,
    )
    foreign.save(found, overwrite=force)
    print_imported(found)


def _import_official(id: str, file: Path, *, force: bool) -> None:
    from edgeaudio.files import check_output
    from edgeaudio_export.weights import load_file, registry, save, store

    registry.get(id)
    store.make_folder(store.weights_home())
    check_output(store.path_of(id), overwrite=force, inputs=(file,))
    weights = load_file(id, file)
    save(weights, overwrite=force)
    typer.echo(kept_line(weights))
    if not weights.info.official:
        known = ", ".join(f.name for f in registry.get(id).files)
        typer.echo(
            f"note: {file.name} has the right layout, but by its digest it is none of the "
            f"official files ({known}).",
            err=True,
        )


def _window_samples(window: float, sample_rate: int) -> int:
    """Samples of a window that was given in seconds, or in samples."""
    if window >= _LEAST_SAMPLES and window == int(window):
        return int(window)
    samples = window * sample_rate
    if not 0 < window < _LEAST_SAMPLES or abs(samples - round(samples)) > _ROUNDING:
        raise EdgeAudioError(
            f"A window of {window:g} s at {sample_rate} Hz is {samples:g} samples; give seconds "
            "that make a whole number, or the number of samples."
        )
    return round(samples)


def print_imported(found: ForeignExtractor) -> None:
    """What an extractor is, and how far it is from its source."""
    seconds = found.window / found.sample_rate
    typer.echo(
        f"{found.id}: windows of {found.window} samples ({seconds:g} s at {found.sample_rate} Hz) "
        f"to {found.dimensions} values, from {found.source}; against its own runtime:"
    )
    typer.echo(found.report.table())


def kept_line(weights: Weights) -> str:
    """What was kept, and where."""
    from edgeaudio_export.weights import store

    values = sum(array.size for array in weights.arrays.values())
    origin = "the official file" if weights.info.official else "not an official file"
    return (
        f"{weights.id}: {values} values from {weights.info.source} ({origin}), "
        f"kept in {store.path_of(weights.id)}."
    )
