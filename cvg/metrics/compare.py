"""Two models on the same clips: how their figures differ, and whether that is more than chance."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cvg.errors import UserError
from cvg.files import read_json
from cvg.metrics.intervals import Interval, interval_of_mean
from cvg.metrics.names import figure_key, has_direction, higher_is_better

SAMPLE = "sample"
DEVIATIONS = 2.0  # a difference of two distances that is larger, in standard errors, is called one


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What `evaluate` wrote of a model.

    Attributes:
        scores: each figure with its protocol, by name.
        clips: a row for each clip that has figures of its own, by its name.
    """

    folder: Path
    scores: Mapping[str, Mapping[str, Any]]
    clips: pd.DataFrame


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A figure of two models.

    Attributes:
        metric: its name.
        a: of the first.
        b: of the second.
        interval: of b - a, from pairs of clips; None where there are none.
        verdict: which is better, or why that cannot be said.
    """

    metric: str
    a: float
    b: float
    interval: Interval | None
    verdict: str


def read_scores(folder: Path) -> Scored:
    """Read what `evaluate` wrote into its folder of scores.

    Raises:
        UserError: it is no such folder.
    """
    rows = read_json(folder / "protocol.json")
    scores = {row["metric"]: row for row in rows if row.get("candidate", SAMPLE) == SAMPLE}
    if not scores:
        raise UserError(f"{folder}/protocol.json: has no figure of samples; run evaluate again")
    path = folder / "clips.csv"
    try:
        clips = pd.read_csv(path)
    except pd.errors.EmptyDataError:
        clips = pd.DataFrame({"clip": []})
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; run evaluate again") from error
    return Scored(folder=folder, scores=scores, clips=clips.set_index("clip"))


def compare_scores(a: Scored, b: Scored, *, seed: int = 0) -> list[Difference]:
    """Give the difference of every figure that both have.

    Figures of clips are compared pair by pair, by a bootstrap over videos of the mean difference.
    A distance of sets has no pairs: it is a difference where it exceeds twice the standard
    error over several sets of samples, if these were given.

    Raises:
        UserError: the figures are of different protocols, or of different clips.
    """
    _require_same_protocol(a, b)
    if a.clips.empty and b.clips.empty:
        return [_difference(name, a, b, seed) for name in a.scores if name in b.scores]
    shared = a.clips.index.intersection(b.clips.index)
    if len(shared) < max(len(a.clips), len(b.clips)):
        raise UserError(
            f"{a.folder} has figures of {len(a.clips)} clips, {b.folder} of {len(b.clips)}, and "
            f"{len(shared)} are the same; score both on the same clips"
        )
    return [_difference(name, a, b, seed) for name in a.scores if name in b.scores]


def _difference(name: str, a: Scored, b: Scored, seed: int) -> Difference:
    values = tuple(float(scored.scores[name]["value"]) for scored in (a, b))
    key = figure_key(name)
    interval = None
    if key in a.clips and key in b.clips:
        rows = b.clips.loc[a.clips.index, key] - a.clips[key]
        videos = a.clips["video"].astype(str).tolist() if "video" in a.clips else None
        interval = interval_of_mean(np.asarray(rows, dtype=float), videos=videos, seed=seed)
        verdict = _by_interval(name, interval)
    else:
        verdict = _by_spread(name, a.scores[name], b.scores[name])
    return Difference(metric=name, a=values[0], b=values[1], interval=interval, verdict=verdict)


def _by_interval(name: str, interval: Interval | None) -> str:
    if interval is None:
        return "too few clips to say"
    if interval.low <= 0 <= interval.high:
        return "no difference beyond chance"
    return _better(name, difference=interval.low)


def _by_spread(name: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    spreads = [row.get("spread") for row in (a, b)]
    if not all(spread and spread["of"] == "sample sets" for spread in spreads):
        return "no interval: give several sets of samples to know how much it varies"
    # The values are means over the sets, which vary less than each set does.
    errors = [s["deviation"] / math.sqrt(s["repeats"]) for s in spreads if s]
    difference = b["value"] - a["value"]
    if abs(difference) <= DEVIATIONS * math.hypot(*errors):
        return "no difference beyond that of sets of samples"
    return _better(name, difference=difference)


def _better(name: str, *, difference: float) -> str:
    if not has_direction(name):
        return "they differ; neither way is better"
    return "B is better" if (difference > 0) == higher_is_better(name) else "A is better"


def _require_same_protocol(a: Scored, b: Scored) -> None:
    one, other = (next(iter(scored.scores.values()))["protocol"] for scored in (a, b))
    # Where clips begin at random, the seed says which clips are real.
    free = () if one.get("starts") == "random" else ("seed",)
    different = [
        f"{field} ({one.get(field)} and {other.get(field)})"
        for field in sorted(set(one) | set(other))
        if field not in free and one.get(field) != other.get(field)
    ]
    if different:
        raise UserError(
            f"{a.folder} and {b.folder} are of different protocols: {', '.join(different)}; "
            "score both by the same"
        )
