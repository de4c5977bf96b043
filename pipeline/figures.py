"""Tool: the figures of the last run as tables in the terminal."""

from pathlib import Path
from typing import Annotated

from pipeline.stage import path_option, resolve_paths


def figures(
    metrics: Annotated[Path | None, path_option("JSON file of the figures.")] = None,
) -> None:
    """Print the figures of the last run: samples, baselines, controls, and the models."""
    from rich.console import Console
    from rich.table import Table

    from cvg.files import read_json
    from cvg.metrics.names import flat_figures
    from cvg.report.candidates import CANDIDATES, clip_metrics
    from cvg.report.source import figure

    path = resolve_paths("report", {"metrics": metrics})["metrics"]
    tree = read_json(path)
    console = Console()
    columns = clip_metrics(tree)
    clips = Table(
        title="Clips against the true continuation (↑ higher is better, ↓ lower)",
        title_justify="left",
    )
    clips.add_column("", no_wrap=True)
    for metric in columns:
        arrow = (" ↑" if metric.higher_is_better else " ↓") if metric.judges else ""
        clips.add_column(f"{metric.title}{arrow}", justify="right")
    for candidate in CANDIDATES:
        values = [figure(tree, f"{candidate.name}.{metric.key}") for metric in columns]
        texts = [
            "-" if value is None else metric.show(value)
            for metric, value in zip(columns, values, strict=True)
        ]
        clips.add_row(candidate.title, *texts)
    console.print(clips)
    models = Table(title="Models, on held-out frames", title_justify="left")
    models.add_column("")
    models.add_column("value", justify="right")
    parts = {name: tree[name] for name in ("vqgan", "codes", "transformer") if name in tree}
    for name, value in flat_figures(parts).items():
        models.add_row(name, f"{value:.4g}")
    console.print(models)
