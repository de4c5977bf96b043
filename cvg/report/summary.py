"""The main figures in one table, and the run in one paragraph."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cvg.metrics.names import figure_key
from cvg.report.candidates import CANDIDATES, Candidate, Metric, clip_metrics, node
from cvg.report.levels import models_phrase
from cvg.report.source import Source, figure

OF_WRITTEN = ("critic_auc", "copied", "caption_accuracy")  # figures that controls do without

STOPPED = {
    "time": ", until its time was over (vqgan.max_minutes)",
    "patience": ", until it no longer got better (vqgan.patience)",
}


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A confidence interval as the protocol holds it."""

    low: float
    high: float
    level: float  # 0 to 1
    unit: str  # what was resampled
    units: int

    def overlaps(self, other: "Interval") -> bool:
        """Say whether the intervals have a value in common."""
        return self.low <= other.high and other.low <= self.high


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One figure of one candidate."""

    text: str
    interval: str = ""
    why_empty: str = ""  # why there is no value
    is_best: bool = False  # among the candidates that are no controls


@dataclass(frozen=True, kw_only=True)
class Line:
    """One candidate of the table."""

    candidate: Candidate
    cells: tuple[Cell, ...]


@dataclass(frozen=True, kw_only=True)
class MainTable:
    """Candidates by figures."""

    metrics: tuple[Metric, ...]
    lines: tuple[Line, ...]


Intervals = Mapping[tuple[str, str], Interval]


def main_table(source: Source) -> MainTable:
    """Set the samples beside baselines and controls."""
    metrics = clip_metrics(source.figures)
    intervals = intervals_of(source.scores)
    best = {metric.key: _best(source.figures, metric) for metric in metrics}

    def cell(candidate: Candidate, metric: Metric) -> Cell:
        value = figure(source.figures, f"{candidate.name}.{metric.key}")
        if value is None:
            return _empty_cell(candidate, metric, source.absent)
        interval = intervals.get((candidate.name, metric.key))
        return Cell(
            text=metric.show(value),
            interval=f"{metric.show(interval.low)} to {metric.show(interval.high)}"
            if interval
            else "",
            is_best=metric.judges and candidate.role != "control" and value == best[metric.key],
        )

    lines = tuple(
        Line(candidate=one, cells=tuple(cell(one, metric) for metric in metrics))
        for one in CANDIDATES
        if not one.optional or node(source.figures, one.name)
    )
    return MainTable(metrics=tuple(metrics), lines=lines)


def intervals_of(scores: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], Interval]:
    """Give the intervals by candidate and figure, for those scores that have one."""
    return {
        (score["candidate"], figure_key(score["metric"])): Interval(**score["interval"])
        for score in scores
        if score["interval"]
    }


def absence(metric: Metric, absent: Sequence[str]) -> str:
    """Give the sentence that says why a figure was left out."""
    for sentence in absent:
        if sentence.startswith((f"{metric.key} ", f"{metric.family} ", f"{metric.family}_")):
            return sentence
    return f"{metric.title} is not in metrics.json"


def interval_sentence(scores: Sequence[Mapping[str, Any]]) -> str:
    """Say what the intervals of the table are, or why it has none."""
    intervals = list(intervals_of(scores).values())
    if not intervals:
        return "There are too few clips for confidence intervals."
    first = intervals[0]
    sentence = (
        f"Below a figure stands its {100 * first.level:.0f} % interval, by resampling "
        f"{first.units} {first.unit}s; FVD is a figure of the whole set and has none."
    )
    if first.unit == "clip":
        sentence += " It speaks about other clips of these videos, not about other videos."
    return sentence


def run_sentence(source: Source) -> str:
    """Say what was trained on what, and what it then did."""
    extraction = source.extraction
    videos, side = extraction["used"], extraction["sides"]["train"]
    frames, seconds = side["frames"], side["seconds"]
    sentence = (
        f"{models_phrase(source.levels)} were trained on {frames} frames "
        f"({seconds:.0f} s) of {videos} video{'s' if videos != 1 else ''}."
    )
    if source.scores:
        protocol = source.scores[0]["protocol"]
        given = protocol["context_frames"]
        ends = " and the one after the last" if protocol.get("goal") else ""
        sentence += (
            f" They then continued {protocol['clips']} held-out clips at {protocol['size']} × "
            f"{protocol['size']} pixels: {given} frames{ends} were given, the next "
            f"{protocol['frames'] - given} were predicted."
        )
    return sentence


def training_sentence(training: Mapping[str, Any]) -> str:
    """Say how the training of the VQGAN ended, and which weights were kept."""
    steps = training.get("steps")
    why = STOPPED.get(training.get("stopped_by", ""), "")
    parts = [f"It was trained for {steps} steps{why}."] if steps else []
    if best := training.get("best_step"):
        parts.append(f"The weights kept are those of step {best}, the best on held-out frames.")
    return " ".join(parts)


def _best(figures: Mapping[str, Any], metric: Metric) -> float | None:
    contenders = [
        value
        for candidate in CANDIDATES
        if candidate.role != "control"
        and (value := figure(figures, f"{candidate.name}.{metric.key}")) is not None
    ]
    if not contenders:
        return None
    return max(contenders) if metric.higher_is_better else min(contenders)


def _empty_cell(candidate: Candidate, metric: Metric, absent: Sequence[str]) -> Cell:
    if metric.paired and not candidate.paired:
        return Cell(text="–", why_empty="a set without pairs: no frame by frame comparison")
    if candidate.role == "control" and metric.family in OF_WRITTEN:
        return Cell(text="–", why_empty="measured of what continues the given frames")
    return Cell(text="not computed", why_empty=absence(metric, absent))
