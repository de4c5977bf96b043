"""Which charts the page shows, and from which columns."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from cvg.report.candidates import CANDIDATES, metrics_of
from cvg.report.charts import Chart, Point, Reference, Series, line_chart
from cvg.report.levels import STYLES, prefixes
from cvg.report.source import Row, Source, finite

JUDGED = "adversarial"  # the column that begins where the discriminator's gradient does
HELD_OUT = {  # title and label
    "psnr": ("PSNR", "PSNR, dB"),
    "lpips": ("LPIPS", "LPIPS"),
    "lpips_vgg": ("LPIPS on VGG16", "LPIPS"),
}
DISCRIMINATOR = {
    "discriminator": ("its loss", "a"),
    JUDGED: ("loss of the decoder", "b"),
    "adaptive_factor": ("adaptive factor", "c"),
    "discriminator_right": ("patches judged right", "d"),
}


def vqgan_charts(rows: Sequence[Row], levels: Sequence[str]) -> list[Chart]:
    """Give loss, held-out figures of each prefix of the levels, and the discriminator, by step."""
    start = _judged_from(rows)
    known = list(zip(prefixes(levels)[::-1], STYLES, strict=False))

    def by_prefix(name: str) -> dict[str, tuple[str, str]]:
        return {
            f"held_out_{name}{prefix.suffix}": (prefix.title.lower(), style)
            for prefix, style in known
        }

    return _present(
        by_step("Training loss", rows, {"loss": ("training loss", "a")}, "loss, weighted sum"),
        *(
            by_step(f"Held-out {title}", rows, by_prefix(name), label, reference=start)
            for name, (title, label) in HELD_OUT.items()
        ),
        by_step("Discriminator", rows, DISCRIMINATOR, "losses, factor, share", reference=start),
    )


def code_charts(source: Source) -> list[Chart]:
    """Give the use of each code, most used first; the codes in use and the perplexity by step."""
    levels = dict(zip(source.levels, STYLES, strict=False))
    rows = source.curves["vqgan"]

    def by_level(name: str) -> dict[str, tuple[str, str]]:
        return {f"held_out_{name}_{level}": (level, style) for level, style in levels.items()}

    return _present(
        *(
            _use_chart(level, counts, style=style)
            for level, style in levels.items()
            if (counts := source.pictures.get(f"counts.{level}")) is not None
        ),
        by_step("Codes used while training", rows, by_level("usage"), "share of the codes"),
        by_step("Perplexity while training", rows, by_level("perplexity"), "codes in even use"),
    )


def transformer_charts(source: Source) -> list[Chart]:
    """Give the negative log-likelihood of each level by step, beside that of an even guess."""
    charts: list[Chart | None] = []
    for level in source.levels:
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
                points=points(
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


def _use_chart(level: str, counts: np.ndarray, *, style: str) -> Chart | None:
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
        [Series(name=f"{level} codes", style=style, points=points, filled=True)],
        x_label="codes, most used first",
        y_label="share of all uses, %",
        reference=Reference(name="even use", value=100 / size),
    )


def _judged_from(rows: Sequence[Row]) -> Reference | None:
    """Find the step from which on the decoder is judged; None where it never is."""
    before = 0.0
    for row in rows:
        if finite(row.get(JUDGED)) is not None:
            name = "the discriminator's gradient begins"
            return Reference(name=name, value=before, upright=True)
        before = finite(row.get("step")) or before
    return None


def by_step(
    title: str,
    rows: Sequence[Row],
    names: Mapping[str, tuple[str, str]],
    y_label: str,
    *,
    reference: Reference | None = None,
) -> Chart | None:
    """Give columns by step, each with its name and style; None where none has a point."""
    series = _series(rows, "step", names)
    return line_chart(title, series, x_label="step", y_label=y_label, reference=reference)


def _series(rows: Sequence[Row], x: str, names: Mapping[str, tuple[str, str]]) -> list[Series]:
    return [
        Series(name=name, style=style, points=points(rows, x, column))
        for column, (name, style) in names.items()
    ]


def points(rows: Sequence[Row], x: str, y: str) -> tuple[Point, ...]:
    """Give the points of two columns, where both have a number."""
    pairs = [(finite(row.get(x)), finite(row.get(y))) for row in rows]
    return tuple((a, b) for a, b in pairs if a is not None and b is not None)


def _present(*charts: Chart | None) -> list[Chart]:
    return [chart for chart in charts if chart is not None]
