"""What the page says of the critic: what it tells apart, and what fine-tuning with it changes."""

from collections.abc import Mapping, Sequence
from typing import Any

from cvg.report.charts import Chart, Series, line_chart
from cvg.report.curves import by_step, points
from cvg.report.details import Table
from cvg.report.levels import STYLES
from cvg.report.source import Row, figure

FINETUNING = (
    "What fine-tuning and choosing change, on made shapes: means of three seeds (docs/log.md)"
)
CORRUPTIONS = {
    "shuffled": "Frames in another order",
    "doubled": "Every second frame left out",
    "frozen": "Standing still from some frame on",
    "spliced": "Going on with another clip",
    "noisy": "Noise in every frame",
}


def critic_table(figures: Mapping[str, Any]) -> Table | None:
    """Give how well real clips are told from each corruption; None where nothing was measured."""
    found = {name: figure(figures, f"auc_{name}") for name in CORRUPTIONS}
    if all(value is None for value in found.values()):
        return None
    return Table(
        caption="Held-out clips, real against corrupted",
        headings=("What is wrong", "Area under the curve"),
        rows=tuple(
            (title, "–" if (value := found[name]) is None else f"{value:.3f}")
            for name, title in CORRUPTIONS.items()
        ),
    )


def critic_charts(rows: Sequence[Row]) -> list[Chart]:
    """Give cross-entropy and mean area under the curve of the pretraining, by step."""
    entropy = {"cross_entropy": ("training", "b"), "held_out_cross_entropy": ("held-out", "a")}
    area = {"held_out_auc": ("mean over what is wrong", "a")}
    return [
        chart
        for chart in (
            by_step("Critic", rows, entropy, "nats a clip"),
            by_step("What the critic tells apart", rows, area, "area under the curve"),
        )
        if chart is not None
    ]


def finetune_charts(rows: Sequence[Row], levels: Sequence[str]) -> list[Chart]:
    """Give cross-entropy of each level, and what the critic tells apart, by step."""
    entropies = [
        Series(name=level, style=style, points=points(rows, "step", f"held_out_nll_{level}"))
        for level, style in zip(levels, STYLES, strict=False)
    ]
    charts = (
        line_chart("Held-out while fine-tuning", entropies, x_label="step", y_label="nats a code"),
        by_step(
            "The critic while fine-tuning",
            rows,
            {"critic_auc": ("area under its curve", "a"), "weight": ("its weight", "b")},
            "area, weight",
        ),
    )
    return [chart for chart in charts if chart is not None]
