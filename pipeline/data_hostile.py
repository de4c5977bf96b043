"""Tool: how many hostile inputs the extraction survives, counted."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.stage import PARAMS_PATH, ParamsOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cvg.hostile.judge import Verdict


def hostile(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the inputs.")],
    json_path: Annotated[
        Path | None, typer.Option("--json", help="File for the table as JSON.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that decode.")] = 1,
    params_path: ParamsOption = PARAMS_PATH,
) -> None:
    """Make broken, lying and odd inputs, extract them all, and compare with what is declared.

    The inputs, and the stores made of them, are in DIR/corpus; nothing else is touched.
    """
    from cvg.files import write_json
    from cvg.hostile.corpus import make_corpus, plan_runs, try_params, try_runs
    from cvg.hostile.judge import as_json, sum_sentence
    from cvg.params import load_params

    params = load_params(params_path)
    runs, corpus = plan_runs(), folder / "corpus"
    make_corpus(corpus, runs)
    verdicts = [
        *try_runs(corpus, runs, params=params.extract, seed=params.seed, workers=workers),
        *try_params(corpus, params),
    ]
    _print_table(verdicts)
    if json_path is not None:
        write_json(json_path, as_json(verdicts))
    typer.echo(sum_sentence(verdicts))
    if not all(verdict.holds for verdict in verdicts):
        raise typer.Exit(1)


def _print_table(verdicts: "Sequence[Verdict]") -> None:
    """Print case, declared, seen and ok; then why each that differs does."""
    rows = [(one.case.title, one.case.expected.sentence(), one.seen.sentence()) for one in verdicts]
    first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
    typer.echo(f"{'case':{first}}  {'declared':{second}}  ok   seen")
    for (title, declared, seen), one in zip(rows, verdicts, strict=True):
        typer.echo(
            f"{title:{first}}  {declared:{second}}  {'yes' if one.holds else 'NO ':3}  {seen}"
        )
    for one in verdicts:
        if not one.holds:
            text = f"{one.run}: {one.case.title}: {one.seen.sentence()}: {one.seen.text}"
            typer.secho(text, fg="red", err=True)
