"""The health gate of the VQGAN: each figure with its bound and its verdict, in words."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cvg.metrics.names import figure_key
from cvg.report.candidates import Metric, metric_of
from cvg.report.curves import codebook_size
from cvg.report.levels import LevelFigure, level_figure, prefix_title
from cvg.report.source import Source, figure, finite

Verdict = Literal["passed", "missed", "not measured", "no bound"]
Gate = Mapping[str, Any]

OF_CODES = {
    "usage": "codes used at all",
    "perplexity": "codes, perplexity",
    "flips": "codes that flip",
}
FLIPS = (
    "A code flips where it changes from one frame to the next although the pixels of its cell "
    "stand still. A network sees beyond the cell, so some flips are rightful; the others are noise "
    "that a transformer has to guess, and that makes still parts of the picture shimmer."
)


@dataclass(frozen=True, kw_only=True)
class GateLine:
    """One figure of the gate."""

    title: str
    value: str
    bound: str
    key: str  # of the bound in params.yaml
    verdict: Verdict
    note: str


@dataclass(frozen=True, kw_only=True)
class _Naming:
    """How a figure is called and written."""

    title: str
    show: Callable[[float], str]
    note: str


def gate_lines(source: Source) -> tuple[GateLine, ...]:
    """Give every figure of the gate, in the order of the check."""
    return tuple(_line(gate, source) for gate in source.check.gates)


def missed_sentences(lines: Sequence[GateLine]) -> list[str]:
    """Say of each figure beyond its bound what it is and what it should be."""
    return [
        f"{line.title}: {line.value}; {line.key} asks for {line.bound}"
        for line in lines
        if line.verdict == "missed"
    ]


def flips_sentence(source: Source) -> str:
    """Explain flips, and say on how much they rest; empty where none were measured."""
    names = [f"codes.{level}" for level in source.levels]
    if all(figure(source.figures, f"{name}.flips") is None for name in names):
        return ""
    shares = [figure(source.figures, f"{name}.still") for name in names]
    parts = [
        f"{100 * share:.1f} % of the {level} cells"
        for level, share in zip(source.levels, shares, strict=True)
        if share is not None
    ]
    return f"{FLIPS} What stands still here: {', '.join(parts)}." if parts else FLIPS


def clips_sentence(scores: Sequence[Mapping[str, Any]], key: str) -> str:
    """Say on how many clips a figure rests; empty where it has no protocol."""
    for score in scores:
        if figure_key(score["metric"]) == key:
            protocol = score["protocol"]
            return f"{protocol['clips']} clips of {protocol['frames']} frames"
    return ""


def _line(gate: Gate, source: Source) -> GateLine:
    naming = _naming(gate["figure"], source)
    value, bound = finite(gate["value"]), finite(gate["bound"])
    verdict = _verdict(gate)
    if value is None:
        text = "not a number" if verdict == "missed" else "–"
    else:
        text = naming.show(value)
        if verdict == "missed" and bound is not None and text == naming.show(bound):
            text = f"{value:.6g}"
    side = "at least" if gate["kind"] == "min" else "at most"
    return GateLine(
        title=naming.title,
        value=text,
        bound="none" if bound is None else f"{side} {naming.show(bound)}",
        key=gate["key"],
        verdict=verdict,
        note=_why(gate["figure"], source) if verdict == "not measured" else naming.note,
    )


def _verdict(gate: Gate) -> Verdict:
    if gate["passed"] is not None:
        return "passed" if gate["passed"] else "missed"
    return "not measured" if gate["value"] is None else "no bound"


def _naming(dotted: str, source: Source) -> _Naming:
    """Call a figure as people do; one that is not known keeps its name."""
    match dotted.split("."):
        case ["codes", level, key] if key in OF_CODES:
            show = _share
            if key == "perplexity":
                size = codebook_size(source.pictures, level)
                show = f"{{:.1f}} of {size}".format if size else "{:.1f}".format
            return _Naming(title=f"{level.capitalize()} {OF_CODES[key]}", show=show, note="")
        case ["vqgan", key]:
            part = level_figure(key)
            metric = metric_of(part.key)
            if metric is not None:
                return _of_metric(metric, part, source)
    return _Naming(title=dotted, show="{:.4g}".format, note="")


def _of_metric(metric: Metric, part: LevelFigure, source: Source) -> _Naming:
    def show(value: float) -> str:
        return f"{metric.show(value)} {metric.unit}".rstrip()

    title = f"Reconstruction {metric.title}"
    if part.level:
        title += f", {prefix_title(source.levels, part.level).lower()}"
    return _Naming(title=title, show=show, note=clips_sentence(source.check.scores, part.key))


def _why(dotted: str, source: Source) -> str:
    """Find the sentence that says why a figure was not measured."""
    _, _, key = dotted.rpartition(".")
    part = level_figure(key)
    starts = (f"{dotted} ", f"{key} ", f"{part.key} ", f"{part.key}_")
    for sentence in source.check.absent:
        if sentence.startswith(starts):
            return sentence
    return ""


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"
