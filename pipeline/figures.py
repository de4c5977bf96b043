"""Tool: the figures of the last run as tables in the terminal."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pipeline.stage import path_option, resolve_paths

COLUMNS = 5  # of a table: what a terminal of 80 letters shows without cutting numbers off
SMALL = 1e-6  # below it, a change is not put in relation


def figures(
    metrics: Annotated[Path | None, path_option("JSON file of the figures.")] = None,
) -> None:
    """Print the figures of the last run: samples, baselines, controls, and the models."""
    from rich.console import Console
    from rich.table import Table

    from cvg.files import read_json
    from cvg.metrics.names import flat_figures
    from cvg.report.candidates import CANDIDATES, clip_metrics, node
    from cvg.report.source import figure

    path = resolve_paths("report", {"metrics": metrics})["metrics"]
    tree = read_json(path)
    console = Console()
    columns = clip_metrics(tree)
    rows = [one for one in CANDIDATES if node(tree, one.name)]
    for first in range(0, len(columns), COLUMNS):
        clips = Table(
            title="Clips against the true continuation (↑ higher is better, ↓ lower)",
            title_justify="left",
        )
        clips.add_column("", no_wrap=True)
        for metric in columns[first : first + COLUMNS]:
            arrow = (" ↑" if metric.higher_is_better else " ↓") if metric.judges else ""
            clips.add_column(f"{metric.title}{arrow}", justify="right")
        for candidate in rows:
            values = [
                (metric, figure(tree, f"{candidate.name}.{metric.key}"))
                for metric in columns[first : first + COLUMNS]
            ]
            texts = ["-" if value is None else metric.show(value) for metric, value in values]
            clips.add_row(candidate.title, *texts)
        console.print(clips)
    models = Table(title="Models, on held-out frames", title_justify="left")
    models.add_column("")
    models.add_column("value", justify="right")
    parts = {name: tree[name] for name in ("vqgan", "codes", "transformer") if name in tree}
    for name, value in flat_figures(parts).items():
        models.add_row(name, f"{value:.4g}")
    console.print(models)
    committed = _committed(path)
    if committed is not None:
        console.print(_reproduction(flat_figures(tree), flat_figures(committed)), highlight=False)


def _committed(path: Path) -> dict[str, Any] | None:
    """Read the same file as the last commit has it; None where it has none."""
    done = subprocess.run(
        ["git", "-C", path.parent, "show", f"HEAD:./{path.name}"],
        capture_output=True,
        text=True,
        check=False,
    )
    return json.loads(done.stdout) if done.returncode == 0 else None


def _reproduction(now: Mapping[str, float], committed: Mapping[str, float]) -> str:
    """Say whether figures are the committed ones, and what differs most."""
    changes = {
        name: abs(value - committed[name]) / max(abs(committed[name]), SMALL)
        for name, value in now.items()
        if name in committed and value != committed[name]
    }
    shared = len(now.keys() & committed.keys())
    if not changes:
        return f"All {shared} figures are those of the last commit."
    most = max(changes, key=changes.__getitem__)
    return (
        f"{len(changes)} of {shared} figures are not those of the last commit; the most, {most}: "
        f"{committed[most]:.4g} -> {now[most]:.4g}. Other values in params.yaml do that; with the "
        "same, another processor or number of threads does (docs/reliability.md)."
    )
