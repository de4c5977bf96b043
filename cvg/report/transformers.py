"""What the page says of the transformers: what they know, how videos change, which order pays."""

from collections.abc import Mapping, Sequence
from typing import Any

from cvg.report.candidates import metrics_of
from cvg.report.charts import Chart, Series, line_chart
from cvg.report.curves import points
from cvg.report.details import Table
from cvg.report.source import Row, figure, finite

# In the order of the page; keys as in reports/transformers/figures.json.
TRUTHS = {
    "all": ("All before it", "a"),
    "frames": ("Whole frames before", "b"),
    "context": ("The given frames alone", "c"),
}
BITS = "bits_per_pixel"
ORDERS = "Codes of a frame one after the other, or all at once in rounds"
DRIFT_WORDS = ("from", "to", "motion", "real_motion", "motion_distance", "repeated")


def truth_table(figures: Mapping[str, Any], levels: Sequence[str]) -> Table | None:
    """Give the cost of a true code by how much of the truth is seen; None where there is none."""
    rows = []
    for truth, (title, _) in TRUTHS.items():
        values = [figure(figures, f"nll.{truth}.{name}") for name in (*levels, BITS)]
        if any(value is not None for value in values):
            rows.append((title, *(_shown(value, 3) for value in values)))
    if not rows:
        return None
    return Table(
        caption="What a true code costs, by how much of the truth the transformers see",
        headings=(
            "Seen of the truth",
            *(f"{level.capitalize()}, nats a code" for level in levels),
            "Bits a pixel",
        ),
        rows=tuple(rows),
    )


def truth_charts(rows: Sequence[Row]) -> list[Chart]:
    """Give bits a pixel by frame, one line for each amount of truth seen."""
    series = [
        Series(name=title.lower(), style=style, points=points(rows, "frame", truth))
        for truth, (title, style) in TRUTHS.items()
    ]
    chart = line_chart(
        "Cost of the true codes", series, x_label="frame", y_label="bits a pixel of a frame"
    )
    return [] if chart is None else [chart]


def drift_table(rows: Sequence[Row]) -> Table | None:
    """Give how long videos change by horizon; None where none was written."""
    if not rows:
        return None
    paired = metrics_of(name for name in rows[0] if name not in DRIFT_WORDS)
    metrics = [metric for metric in paired if metric.key in rows[0]]
    return Table(
        caption="Long videos by horizon",
        headings=(
            "Frames",
            "Motion, grey levels",
            "Real motion",
            "Distance of their distributions",
            "Same as the frame before",
            *(f"{one.title}{f', {one.unit}' if one.unit else ''}" for one in metrics),
        ),
        rows=tuple(
            (
                f"{row['from']} to {row['to']}",
                _shown(finite(row["motion"]), 2),
                _shown(finite(row["real_motion"]), 2),
                _shown(finite(row.get("motion_distance")), 2),
                _percent(finite(row["repeated"])),
                *(
                    "–" if (value := finite(row.get(one.key))) is None else one.show(value)
                    for one in metrics
                ),
            )
            for row in rows
        ),
    )


def _shown(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"
