"""What the figures say, in sentences that the figures alone decide."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cvg.metrics.names import figure_key
from cvg.report.candidates import (
    BASELINES,
    SAMPLE,
    Candidate,
    Metric,
    clip_metrics,
    metric_of,
)
from cvg.report.source import Source, figure
from cvg.report.summary import Intervals, intervals_of

Outcome = Literal["beats", "mixed", "loses"]

BY_FEATURES = ("fvd", "kvd", "framefd")  # distances of sets, which need care
SEES_TIME = ("fvd", "kvd")  # those of clips, not of single frames

SPOKEN = {
    "baseline.repeat_last": "repeating the last frame",
    "baseline.nearest": "the nearest training clip",
    "baseline.cross_fade": "a cross-fade to the goal",
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One figure of the samples against the baselines."""

    sentence: str
    outcome: Outcome


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether the samples are any good."""

    headline: str
    findings: tuple[Finding, ...]
    cautions: tuple[str, ...]


def judge(source: Source) -> Verdict:
    """Compare the samples with the baselines on every figure that both have."""
    intervals = intervals_of(source.scores)
    wins: dict[str, list[bool]] = {baseline.name: [] for baseline in BASELINES}
    findings: list[Finding] = []
    for metric in clip_metrics(source.figures):
        if not metric.judges:
            continue
        values = _values(source.figures, metric)
        rivals = [one for one in BASELINES if one.name in values]
        if SAMPLE.name not in values or not rivals:
            continue
        beaten = {one.name: metric.better(values[SAMPLE.name], values[one.name]) for one in rivals}
        for name, won in beaten.items():
            wins[name].append(won)
        sentence = _comparison(metric, values, rivals, beaten)
        sentence += _doubt(metric, rivals, intervals)
        findings.append(Finding(sentence=sentence, outcome=_outcome(list(beaten.values()))))
    return Verdict(
        headline=_headline(wins),
        findings=tuple(findings),
        cautions=tuple(_cautions(source)),
    )


def _values(figures: Mapping[str, Any], metric: Metric) -> dict[str, float]:
    names = [SAMPLE.name, *(baseline.name for baseline in BASELINES)]
    found = {name: figure(figures, f"{name}.{metric.key}") for name in names}
    return {name: value for name, value in found.items() if value is not None}


def _comparison(
    metric: Metric,
    values: Mapping[str, float],
    rivals: Sequence[Candidate],
    beaten: Mapping[str, bool],
) -> str:
    def spoken(beaten_ones: bool) -> list[str]:
        return [
            f"{SPOKEN[one.name]} ({metric.show(values[one.name])})"
            for one in rivals
            if beaten[one.name] is beaten_ones
        ]

    start = f"On {_within(metric.title)} the samples ({metric.show(values[SAMPLE.name])})"
    won, lost = spoken(beaten_ones=True), spoken(beaten_ones=False)
    if won and lost:
        return f"{start} beat {' and '.join(won)}, but do not beat {' or '.join(lost)}."
    if won:
        return f"{start} beat {' and '.join(won)}."
    return f"{start} do not beat {' or '.join(lost)}."


def _within(title: str) -> str:
    """Write a title as it stands within a sentence: abbreviations keep their letters.

    >>> _within("Motion distance"), _within("FVD")
    ('motion distance', 'FVD')
    """
    return title if title[1:2].isupper() else title[0].lower() + title[1:]


def _doubt(metric: Metric, rivals: Sequence[Candidate], intervals: Intervals) -> str:
    own = intervals.get((SAMPLE.name, metric.key))
    others = {one.name: intervals.get((one.name, metric.key)) for one in rivals}
    near = [SPOKEN[name] for name, other in others.items() if own and other and own.overlaps(other)]
    if not near:
        return ""
    return f" The intervals of the samples and of {' and '.join(near)} overlap: it may be chance."


def _outcome(beaten: Sequence[bool]) -> Outcome:
    if all(beaten):
        return "beats"
    return "mixed" if any(beaten) else "loses"


def _headline(wins: Mapping[str, Sequence[bool]]) -> str:
    parts = [
        f"{SPOKEN[name]} on {sum(results)} of {len(results)} figures"
        for name, results in wins.items()
        if results
    ]
    if not parts:
        return "No figure was computed for both the samples and a baseline."
    return f"The samples beat {', and '.join(parts)}."


def _cautions(source: Source) -> list[str]:
    """Say what the controls and the notes of the protocol tell about the figures."""
    found: list[str] = []
    for metric in clip_metrics(source.figures):
        if metric.family not in SEES_TIME:
            continue
        real = figure(source.figures, f"control.real_vs_real.{metric.key}")
        shuffled = figure(source.figures, f"control.shuffled.{metric.key}")
        if real is not None and shuffled is not None:
            found.append(_time_sentence(metric, real=real, shuffled=shuffled))
    notes = [
        f"{metric.title}: {note}."
        for score in source.scores
        if (metric := metric_of(figure_key(score["metric"]))) is not None
        if metric.family in BY_FEATURES
        for note in score["notes"]
    ]
    return [*found, *dict.fromkeys(notes)]


def _time_sentence(metric: Metric, *, real: float, shuffled: float) -> str:
    if shuffled > real:
        meaning = "a wrong order of frames costs more than being another real clip: it sees time"
    else:
        meaning = (
            "being another real clip costs more than a wrong order of frames: it says more about "
            "what is seen than about how it moves"
        )
    return (
        f"{metric.title} of real training clips is {metric.show(real)}, of the true clips with "
        f"shuffled frames {metric.show(shuffled)}; {meaning}."
    )
