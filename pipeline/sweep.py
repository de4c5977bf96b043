"""Tool: several experiments, and their figures in one table."""

import itertools
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer

from cvg.errors import UserError

DVC = (sys.executable, "-m", "dvc")
METRICS = "reports/metrics.json"
MAIN = ("sample.psnr", "sample.lpips", "sample.fvd", "vqgan.psnr")


def sweep(
    values: Annotated[
        list[str],
        typer.Option(
            "-S", help="A key and its values, as in -S lr=1e-3,3e-4. Repeatable: all combinations."
        ),
    ],
    figures: Annotated[
        list[str] | None,
        typer.Option("--figure", help="A column of the table, as in metrics.json. Repeatable."),
    ] = None,
    jobs: Annotated[int, typer.Option(help="Experiments at once.", min=1)] = 1,
    target: Annotated[str | None, typer.Option(help="Stage to stop after.")] = None,
) -> None:
    """Queue an experiment for each combination of values, run the queue, print the table.

    What was queued before runs too. The experiments stay: `dvc exp show`, `dvc exp apply NAME`.
    """
    settings = {_queue(given, target): given for given in _grid(values)}
    typer.echo(f"queued {len(settings)} experiments: {', '.join(settings)}")
    subprocess.run([*DVC, "exp", "run", "--run-all", "--jobs", str(jobs)], check=False)
    found = dict(_figures_by_name(json.loads(_dvc("exp", "show", "--json", "--no-pager"))))
    _print_table(settings, found, figures or MAIN)
    failed = [name for name in settings if not found.get(name)]
    if failed:
        raise UserError(
            f"{', '.join(failed)}: no figures, so it failed; look at `dvc queue logs NAME`, then "
            "run the command again: what was computed is kept"
        )


def _grid(values: Sequence[str]) -> list[tuple[str, ...]]:
    """Combine the values of all keys.

    >>> _grid(["lr=1,2", "seed=0"])
    [('lr=1', 'seed=0'), ('lr=2', 'seed=0')]
    """
    axes = []
    for text in values:
        key, _, listed = text.partition("=")
        if not key or not listed:
            raise UserError(f"-S {text}: expected key=value,value, for example -S lr=1e-3,3e-4")
        axes.append([f"{key}={value}" for value in listed.split(",")])
    return list(itertools.product(*axes))


def _queue(settings: Sequence[str], target: str | None) -> str:
    words = [word for text in settings for word in ("-S", text)]
    said = _dvc("exp", "run", "--queue", *words, *([target] if target else ()))
    found = re.search(r"experiment '([^']+)'", said)
    if found is None:
        raise UserError(f"dvc exp run --queue said no name: {said.strip()}")
    return found[1]


def _dvc(*words: str) -> str:
    done = subprocess.run([*DVC, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"dvc {' '.join(words)} failed: {done.stderr.strip()}")
    return done.stdout


def _figures_by_name(shown: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, dict[str, float]]]:
    """Read names and figures of all experiments from what `dvc exp show --json` prints."""
    from cvg.metrics.names import flat_figures

    for baseline in shown:
        for experiment in baseline.get("experiments") or ():
            for revision in experiment["revs"]:
                files = (revision.get("data") or {}).get("metrics") or {}
                yield (
                    revision.get("name") or revision["rev"][:7],
                    flat_figures((files.get(METRICS) or {}).get("data") or {}),
                )


def _print_table(
    settings: Mapping[str, Sequence[str]],
    found: Mapping[str, Mapping[str, float]],
    figures: Sequence[str],
) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    keys = [text.partition("=")[0] for text in next(iter(settings.values()))]
    for heading in ("experiment", *keys, *figures):
        table.add_column(heading, justify="left" if heading == "experiment" else "right")
    for name, given in settings.items():
        values = [found.get(name, {}).get(figure) for figure in figures]
        table.add_row(
            name,
            *(text.partition("=")[2] for text in given),
            *("-" if value is None else f"{value:.4g}" for value in values),
        )
    Console().print(table)
