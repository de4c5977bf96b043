"""The figures of samples, baselines and controls, under fixed names.

The nested names are what others rely on (`dvc metrics show`, scripts, the report): `sample.fvd`,
`baseline.nearest.lpips`, `control.real_vs_real.fvd`, ... A figure that could not be computed is
absent, never 0 and never null.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cvg.frames.samples import Samples
from cvg.metrics.evaluate import Evaluation
from cvg.metrics.names import figure_key


@dataclass(frozen=True, kw_only=True)
class Suite:
    """The outcome of an evaluation."""

    figures: dict[str, Any]  # nested names to numbers
    scores: list[dict[str, Any]]  # each figure of clips with its protocol
    horizon: list[dict[str, Any]]  # rows: candidate, frame (1 = first predicted), figures
    clips: list[dict[str, Any]]  # rows: figures of each sample
    pictures: dict[str, np.ndarray]  # uint8 clips to look at, and their numbers
    absent: list[str]  # a sentence for each figure that is left out


def suite_of(
    evaluations: Mapping[str, Evaluation],
    samples: Samples,
    *,
    pictures: dict[str, np.ndarray],
    absent: Iterable[str],
) -> Suite:
    """Put the figures of all candidates in order.

    Args:
        evaluations: by the names of the candidates.
        samples: of the run.
        pictures: clips to look at.
        absent: sentences for what is left out, besides those of the evaluations.
    """
    absent = [*absent, *(text for e in evaluations.values() for text in e.absent)]
    return Suite(
        figures=_nest(evaluations),
        scores=[
            {"candidate": name} | score.to_dict()
            for name, evaluation in evaluations.items()
            for score in evaluation.scores.values()
        ],
        horizon=list(_horizon_rows(evaluations)),
        clips=_clip_rows(samples, evaluations["sample"]),
        pictures=pictures,
        absent=list(dict.fromkeys(absent)),
    )


def _nest(evaluations: Mapping[str, Evaluation]) -> dict[str, Any]:
    """Put all figures under their dotted names."""
    tree: dict[str, Any] = {}
    for candidate, evaluation in evaluations.items():
        node = tree
        for part in candidate.split("."):
            node = node.setdefault(part, {})
        for metric, score in evaluation.scores.items():
            node[figure_key(metric)] = score.value
    return tree


def _horizon_rows(evaluations: Mapping[str, Evaluation]) -> list[dict[str, Any]]:
    rows = []
    for candidate, evaluation in evaluations.items():
        frames = max((len(values) for values in evaluation.horizon.values()), default=0)
        for frame in range(frames):
            figures = {
                figure_key(metric): values[frame] for metric, values in evaluation.horizon.items()
            }
            rows.append({"candidate": candidate, "frame": frame + 1} | figures)
    return rows


def _clip_rows(samples: Samples, evaluation: Evaluation) -> list[dict[str, Any]]:
    return [
        {"clip": clip.name, "video": clip.video, "caption": clip.caption or ""}
        | {
            figure_key(metric): float(values[number])
            for metric, values in evaluation.per_clip.items()
        }
        for number, clip in enumerate(samples.clips)
    ]
