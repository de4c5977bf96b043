"""What was tried with the VQGAN, in one table: a row a variant, on data that the table names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cvg.report.candidates import metric_of
from cvg.report.levels import level_figure
from cvg.report.source import Row, finite

BEST = "lpips"  # closest to what people see
WORDS = ("name", "changed")
ORIGIN = ("manifest", "date")  # the same in all rows; told in the caption
PLAIN = {
    "name": "Variant",
    "changed": "Changed",
    "codebook_size": "Codes a level",
    "steps_per_s": "Steps a second",
    "lpips_spread": "LPIPS, spread over seeds",
}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A text of the table."""

    text: str
    is_number: bool
    is_best: bool = False


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """Headings, and rows of entries; the first entry of a row is its heading."""

    origin: str  # data and date, as far as they are known
    headings: tuple[Entry, ...]
    rows: tuple[tuple[Entry, ...], ...]


def ablation_table(rows: Sequence[Row]) -> Ablation | None:
    """Give the variants beside each other, None where there are none.

    A column that is empty in all rows is left out.
    """
    columns = [
        column
        for column in (rows[0] if rows else ())
        if column not in ORIGIN and any(row[column] for row in rows)
    ]
    if not columns:
        return None
    values = [value for row in rows if (value := finite(row.get(BEST))) is not None]
    best = min(values, default=None)
    return Ablation(
        origin=", ".join(text for name in ORIGIN if (text := rows[0].get(name))),
        headings=tuple(_heading(column) for column in columns),
        rows=tuple(tuple(_entry(row, column, best) for column in columns) for row in rows),
    )


def _entry(row: Mapping[str, str], column: str, best: float | None) -> Entry:
    value = finite(row[column])
    if value is None or column in WORDS:
        return Entry(text=row[column] or "–", is_number=not row[column])
    is_best = column == BEST and value == best
    return Entry(text=_written(value, column), is_number=True, is_best=is_best)


def _heading(column: str) -> Entry:
    part = level_figure(column)
    metric = metric_of(part.key)
    title = PLAIN.get(column) or (metric.title if metric else part.key.capitalize())
    unit = f", {metric.unit}" if metric and metric.unit else ""
    text = f"{title}{f', {part.level}' if part.level else ''}{unit}"
    return Entry(text=text, is_number=column not in WORDS)


def _written(value: float, column: str) -> str:
    key = level_figure(column).key
    metric = metric_of(key)
    if metric:
        return metric.show(value)
    match key:
        case "usage":
            return f"{100 * value:.1f} %"
        case "perplexity":
            return f"{value:.1f}"
        case _:
            return f"{value:g}"
