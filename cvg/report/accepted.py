"""This run beside the last one that was accepted."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cvg.metrics.names import flat_figures, higher_is_better
from cvg.report.candidates import SAMPLE, clip_metrics
from cvg.report.source import Source, figure

NOT_BETTER_OR_WORSE = ("usage", "perplexity", "still")  # last words of names without a direction
HIGHER = ("accuracy",)


@dataclass(frozen=True, kw_only=True)
class Change:
    """A figure, then and now.

    Attributes:
        title: of the figure.
        before: of the accepted run, as people write it.
        now: of this run.
        verdict: "better", "worse" or "same"; "differs" where neither way is better.
    """

    title: str
    before: str
    now: str
    verdict: str


@dataclass(frozen=True, kw_only=True)
class SinceAccepted:
    """What changed since a run was accepted.

    Attributes:
        sentence: which run that was, and how many figures are better or worse.
        changes: figure by figure.
        cautions: why they may not be comparable.
    """

    sentence: str
    changes: tuple[Change, ...]
    cautions: tuple[str, ...] = ()


def since_accepted(source: Source) -> SinceAccepted | None:
    """Compare the figures of the samples and of the models; None where no run was accepted."""
    accepted = source.accepted
    if not accepted.get("figures"):
        return None
    changes = tuple(_changes(source, accepted["figures"]))
    counts = {word: sum(c.verdict == word for c in changes) for word in ("better", "worse")}
    sentence = (
        f"Against the run that was accepted on {accepted['date']} ({accepted['commit']}): "
        f"{counts['better']} figures better, {counts['worse']} worse, of {len(changes)}."
    )
    return SinceAccepted(
        sentence=sentence, changes=changes, cautions=tuple(_cautions(source, accepted))
    )


def _changes(source: Source, before: Mapping[str, Any]) -> Iterator[Change]:
    for metric in clip_metrics(source.figures):
        key = f"{SAMPLE.name}.{metric.key}"
        one, other = figure(before, key), figure(source.figures, key)
        if one is not None and other is not None:
            verdict = _verdict(one, other, better=metric.better(other, one))
            if not metric.judges and verdict != "same":
                verdict = "differs"
            yield Change(
                title=f"Sample, {metric.title}",
                before=metric.show(one),
                now=metric.show(other),
                verdict=verdict,
            )
    models = {name: source.figures.get(name, {}) for name in ("vqgan", "transformer")}
    for key, other in flat_figures(models).items():
        one, last = figure(before, key), key.rpartition(".")[2]
        if one is None or last.startswith(NOT_BETTER_OR_WORSE):
            continue
        higher = higher_is_better(last) or last.startswith(HIGHER)
        verdict = _verdict(one, other, better=(other > one) == higher)
        yield Change(title=key, before=f"{one:.4g}", now=f"{other:.4g}", verdict=verdict)


def _verdict(before: float, now: float, *, better: bool) -> str:
    if f"{before:.4g}" == f"{now:.4g}":
        return "same"
    return "better" if better else "worse"


def _cautions(source: Source, accepted: Mapping[str, Any]) -> Iterator[str]:
    if not source.scores or "protocol" not in accepted:
        return
    now, before = source.scores[0]["protocol"], accepted["protocol"]
    different = [name for name in now if name != "seed" and now[name] != before.get(name)]
    if different:
        yield (
            f"The protocols differ in {', '.join(different)}: what differs between figures may be "
            "that alone."
        )
