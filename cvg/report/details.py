"""The smaller tables: networks, codes, protocol."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cvg.metrics.names import figure_key
from cvg.report.candidates import Metric, metric_of, metrics_of
from cvg.report.curves import codebook_size
from cvg.report.gates import clips_sentence
from cvg.report.levels import level_figure, prefixes
from cvg.report.source import Row, Source, figure
from cvg.report.summary import absence

NOT_COMPUTED = "not computed"
HASH_DIGITS = 12


@dataclass(frozen=True, kw_only=True)
class Table:
    """Headings, and rows of texts; the first text of a row is its heading."""

    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def measured_table(caption: str, rows: Sequence[Row]) -> Table | None:
    """Give a CSV as it was measured; None where there are no rows."""
    if not rows:
        return None
    return Table(
        caption=caption,
        headings=tuple(name.replace("_", " ").capitalize() for name in rows[0]),
        rows=tuple(tuple(row.values()) for row in rows),
    )


def vqgan_table(source: Source) -> Table:
    """Give how well held-out frames survive the VQGAN, whole and from its coarser levels alone."""
    known = source.figures.get("vqgan", {})
    keys = dict.fromkeys(level_figure(key).key for key in known)
    rows = [
        row for metric in metrics_of(keys) for row in _reconstruction_rows(metric, known, source)
    ]
    return Table(
        caption="Held-out frames, original against reconstruction",
        headings=("Figure", "Value", ""),
        rows=tuple(rows),
    )


def _reconstruction_rows(
    metric: Metric, known: Mapping[str, Any], source: Source
) -> Iterator[tuple[str, str, str]]:
    unit = f" {metric.unit}" if metric.unit else ""
    title = metric.title if metric.paired else f"Reconstruction {metric.title}"
    *parts, _ = prefixes(source.levels)
    value = figure(known, metric.key)
    if value is None:
        yield title, NOT_COMPUTED, absence(metric, source.check.absent)
    else:
        clips = clips_sentence(source.check.scores, metric.key)
        note = f"{metric.direction}{f'; {clips}' if clips else ''}"
        yield title, f"{metric.show(value)}{unit}", note
    for part in parts:
        value = figure(known, f"{metric.key}{part.suffix}")
        if value is not None:
            text = f"{metric.show(value)}{unit}"
            yield f"{metric.title}, {part.title.lower()}", text, "without the finer codes"


def codes_table(source: Source) -> Table:
    """Give how many codes of each level are in use, and how steady they are."""
    rows: list[tuple[str, ...]] = []
    for level in source.levels:
        size = codebook_size(source.pictures, level)
        name = f"codes.{level}"
        perplexity = figure(source.figures, f"{name}.perplexity")
        usage, flips, still = (
            _share(figure(source.figures, f"{name}.{key}")) for key in ("usage", "flips", "still")
        )
        rows.append(
            (
                level.capitalize(),
                str(size) if size else NOT_COMPUTED,
                usage,
                f"{perplexity:.1f}" if perplexity is not None else NOT_COMPUTED,
                flips,
                still,
            )
        )
    return Table(
        caption="Codes of held-out frames",
        headings=("Level", "Codes", "Used at all", "Perplexity", "Flips", "Still cells"),
        rows=tuple(rows),
    )


def transformer_table(source: Source) -> Table:
    """Give how well the next codes are predicted, beside copying the previous frame's."""
    rows: list[tuple[str, ...]] = []
    for level in source.levels:
        name = f"transformer.{level}"
        nll = figure(source.figures, f"{name}.nll")
        shares = [figure(source.figures, f"{name}.{key}") for key in ("accuracy", "accuracy_copy")]
        texts = [_share(share) for share in shares]
        rows.append((level.capitalize(), f"{nll:.3f}" if nll is not None else NOT_COMPUTED, *texts))
    return Table(
        caption="Held-out clips, the codes before each one given",
        headings=("Level", "Nats a code", "Guessed right", "Right by copying"),
        rows=tuple(rows),
    )


def protocol_table(scores: Sequence[Mapping[str, Any]]) -> Table:
    """Give everything needed to believe, or to repeat, each figure."""
    return Table(
        caption="Each figure with the protocol by which it was computed",
        headings=(
            "Candidate",
            "Figure",
            "Value",
            "Interval",
            "Split",
            "Clips",
            "Frames",
            "Given",
            "Scored",
            "Pixels",
            "Frames a second",
            "Resize",
            "Network",
            "Seed",
            "Notes",
        ),
        rows=tuple(_protocol_row(score) for score in scores),
    )


def _share(value: float | None) -> str:
    return f"{100 * value:.1f} %" if value is not None else NOT_COMPUTED


def _protocol_row(score: Mapping[str, Any]) -> tuple[str, ...]:
    protocol, interval, network = score["protocol"], score["interval"], score["network"]
    key = figure_key(score["metric"])
    metric = metric_of(key)
    show = metric.show if metric else "{:.6g}".format
    return (
        score["candidate"],
        score["metric"],
        show(score["value"]),
        f"{show(interval['low'])} to {show(interval['high'])} ({100 * interval['level']:.0f} %, "
        f"{interval['units']} {interval['unit']}s)"
        if interval
        else "–",
        protocol["split"],
        str(protocol["clips"]),
        str(protocol["frames"]),
        f"{protocol['context_frames']}{' and the last' if protocol.get('goal') else ''}",
        score["scored_frames"],
        str(protocol["size"]),
        f"{protocol['fps']:.4g}" if protocol["fps"] else "of each video",
        score["resize"],
        f"{network['name']} {network['weights_sha256'][:HASH_DIGITS]}" if network else "–",
        str(protocol["seed"]),
        "; ".join(score["notes"]) or "–",
    )
