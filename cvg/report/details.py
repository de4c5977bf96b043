"""The smaller tables: networks, codes, protocol."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cvg.metrics.names import figure_key
from cvg.report.candidates import clip_metrics, metrics_of
from cvg.report.curves import codebook_size
from cvg.report.source import LEVELS, Source, figure
from cvg.report.summary import absence

NOT_COMPUTED = "not computed"
HASH_DIGITS = 12


@dataclass(frozen=True, kw_only=True)
class Table:
    """Headings, and rows of texts; the first text of a row is its heading."""

    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def vqgan_table(source: Source) -> Table:
    """Give how well held-out frames survive the VQGAN."""
    rows: list[tuple[str, ...]] = []
    known = source.figures.get("vqgan", {})
    for metric in clip_metrics({"sample": known}):
        if not metric.paired:
            continue
        unit = f" {metric.unit}" if metric.unit else ""
        value = figure(known, metric.key)
        if metric.key != "psnr_top":
            text = f"{metric.show(value)}{unit}" if value is not None else NOT_COMPUTED
            note = metric.direction if value is not None else absence(metric, source.absent)
            rows.append((metric.title, text, note))
    top = figure(known, "psnr_top")
    text = f"{top:.2f} dB" if top is not None else NOT_COMPUTED
    rows.insert(1, ("PSNR, top level alone", text, "how much the coarse codes carry"))
    return Table(
        caption="Held-out frames, original against reconstruction",
        headings=("Figure", "Value", ""),
        rows=tuple(rows),
    )


def codes_table(source: Source) -> Table:
    """Give how many codes of each level are in use."""
    rows: list[tuple[str, ...]] = []
    for level in LEVELS:
        size = codebook_size(source.pictures, level)
        usage = figure(source.figures, f"codes.{level}.usage")
        perplexity = figure(source.figures, f"codes.{level}.perplexity")
        rows.append(
            (
                level.capitalize(),
                str(size) if size else NOT_COMPUTED,
                f"{100 * usage:.1f} %" if usage is not None else NOT_COMPUTED,
                f"{perplexity:.1f}" if perplexity is not None else NOT_COMPUTED,
            )
        )
    return Table(
        caption="Use of the codebooks on held-out frames",
        headings=("Level", "Codes", "Used at all", "Perplexity"),
        rows=tuple(rows),
    )


def transformer_table(source: Source) -> Table:
    """Give how well the next codes are predicted, beside copying the previous frame's."""
    rows: list[tuple[str, ...]] = []
    for level in LEVELS:
        name = f"transformer.{level}"
        nll = figure(source.figures, f"{name}.nll")
        shares = [figure(source.figures, f"{name}.{key}") for key in ("accuracy", "accuracy_copy")]
        texts = [f"{100 * share:.1f} %" if share is not None else NOT_COMPUTED for share in shares]
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


def _protocol_row(score: Mapping[str, Any]) -> tuple[str, ...]:
    protocol, interval, network = score["protocol"], score["interval"], score["network"]
    key = figure_key(score["metric"])
    metric = next((one for one in metrics_of([key]) if one.key == key), None)
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
        str(protocol["context_frames"]),
        score["scored_frames"],
        str(protocol["size"]),
        f"{protocol['fps']:.4g}" if protocol["fps"] else "of each video",
        score["resize"],
        f"{network['name']} {network['weights_sha256'][:HASH_DIGITS]}" if network else "–",
        str(protocol["seed"]),
        "; ".join(score["notes"]) or "–",
    )
