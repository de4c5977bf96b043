"""Tool: remember the figures of this run as those that the next ones are compared with."""

import datetime
import shlex
from pathlib import Path
from typing import Annotated

import typer

from pipeline.stage import path_option, resolve_paths


def accept(
    metrics: Annotated[Path | None, path_option("JSON file of the figures.")] = None,
    scores: Annotated[Path | None, path_option("Folder of protocols.")] = None,
    accepted: Annotated[Path | None, path_option("JSON file to write.")] = None,
) -> None:
    """Accept this run: the next reports say what is better and what is worse since then."""
    from cvg.files import read_json, write_json
    from cvg.report.about import describe

    given = {"metrics": metrics, "scores": scores, "accepted": accepted}
    paths = resolve_paths("report", given)
    figures = read_json(paths["metrics"])
    rows = read_json(paths["scores"] / "protocol.json")
    about = describe(Path.cwd(), command="cvg accept", device="")
    write_json(
        paths["accepted"],
        {
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "commit": about.commit_sentence,
            "protocol": rows[0]["protocol"] if rows else {},
            "figures": figures,
        },
    )
    typer.echo(
        f"accept: wrote {paths['accepted']}; keep it with "
        f"`git add {shlex.quote(str(paths['accepted']))}`"
    )
