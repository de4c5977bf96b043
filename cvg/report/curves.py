"""Which charts the page shows, and from which columns."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from cvg.report.candidates import CANDIDATES, metrics_of
from cvg.report.charts import Chart, Point, Reference, Series, line_chart
from cvg.report.source import LEVELS, Row, Source, finite

LEVEL_STYLES = {"top": "a", "bottom": "b"}


def vqgan_charts(rows: Sequence[Row]) -> list[Chart]:
    """Give loss and held-out PSNR by step."""
    loss = _series(rows, "step", {"loss": ("training loss", "a")})
    names = {
        "held_out_psnr": ("both levels", "a"),
        "held_out_psnr_top": ("top level alone", "b"),
    }
    return _present(
        line_chart("Training loss", loss, x_label="step", y_label="loss, weighted sum"),
        line_chart(
            "Held-out reconstruction",
            _series(rows, "step", names),
            x_label="step",
            y_label="PSNR, dB",
        ),
    )


def code_charts(counts: Mapping[str, np.ndarray], rows: Sequence[Row]) -> list[Chart]:
    """Give the use of each code, most used first, and the perplexity by step."""
    charts = [_use_chart(level, counts[level]) for level in LEVELS if level in counts]
    names = {
        f"held_out_perplexity_{level}": (level, style) for level, style in LEVEL_STYLES.items()
    }
    perplexity = line_chart(
        "Perplexity while training",
        _series(rows, "step", names),
        x_label="step",
        y_label="codes in even use",
    )
    return _present(*charts, perplexity)


def transformer_charts(source: Source) -> list[Chart]:
    """Give the negative log-likelihood of both levels by step, beside that of an even guess."""
    charts: list[Chart | None] = []
    for level in LEVELS:
        names = {"nll": ("training", "b"), "held_out_nll": ("held-out", "a")}
        size = codebook_size(source.pictures, level)
        charts.append(
            line_chart(
                f"{level.capitalize()} transformer",
                _series(source.curves[f"transformer_{level}"], "step", names),
                x_label="step",
                y_label="nats a code",
                reference=Reference(name=f"even guess, ln {size}", value=math.log(size))
                if size
                else None,
            )
        )
    return _present(*charts)


def horizon_charts(rows: Sequence[Row]) -> list[Chart]:
    """Give each figure by predicted frame, one line a candidate."""
    columns = list(rows[0]) if rows else []
    charts: list[Chart | None] = []
    for metric in metrics_of(name for name in columns if name not in ("candidate", "frame")):
        if metric.key not in columns:
            continue
        series = [
            Series(
                name=candidate.title,
                style=candidate.style,
                points=_points(
                    [row for row in rows if row["candidate"] == candidate.name], "frame", metric.key
                ),
            )
            for candidate in CANDIDATES
        ]
        unit = f", {metric.unit}" if metric.unit else ""
        charts.append(
            line_chart(
                f"{metric.title} ({metric.direction})",
                series,
                x_label="predicted frame",
                y_label=f"{metric.title}{unit}",
            )
        )
    return _present(*charts)


def codebook_size(counts: Mapping[str, np.ndarray], level: str) -> int:
    """Give the number of codes of a level, 0 where no counts are there."""
    found = counts.get(f"counts.{level}")
    return 0 if found is None else len(found)


def _use_chart(level: str, counts: np.ndarray) -> Chart | None:
    total, size = int(counts.sum()), len(counts)
    if not total:
        return None
    shares = np.sort(counts)[::-1] / total * 100
    # A step for each code, so that the area is its share.
    points = tuple(
        (float(rank + side), float(share))
        for rank, share in enumerate(shares.tolist())
        for side in (0, 1)
    )
    return line_chart(
        f"Use of the {level} codes",
        [Series(name=f"{level} codes", style=LEVEL_STYLES[level], points=points, filled=True)],
        x_label="codes, most used first",
        y_label="share of all uses, %",
        reference=Reference(name="even use", value=100 / size),
    )


def _series(rows: Sequence[Row], x: str, names: Mapping[str, tuple[str, str]]) -> list[Series]:
    return [
        Series(name=name, style=style, points=_points(rows, x, column))
        for column, (name, style) in names.items()
    ]


def _points(rows: Sequence[Row], x: str, y: str) -> tuple[Point, ...]:
    pairs = [(finite(row.get(x)), finite(row.get(y))) for row in rows]
    return tuple((a, b) for a, b in pairs if a is not None and b is not None)


def _present(*charts: Chart | None) -> list[Chart]:
    return [chart for chart in charts if chart is not None]
