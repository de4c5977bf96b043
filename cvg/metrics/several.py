"""Several samples of each condition: their mean, the best of them, and how far they are apart."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from cvg.metrics.clips import Clips, rows_at_once
from cvg.metrics.evaluate import Evaluation
from cvg.metrics.intervals import interval_of_mean
from cvg.metrics.kernel import Spread
from cvg.metrics.measure import PerFrame
from cvg.metrics.names import higher_is_better
from cvg.metrics.scores import Network, Pooling, Protocol, Score

MOST_PAIRS = 10  # of samples of a condition, for diversity: of 100 samples there are thousands

Metrics = Mapping[str, tuple[PerFrame, Network | None]]


def mean_of_sets(sets: Sequence[Evaluation], protocol: Protocol) -> Evaluation:
    """Give means over sets of one sample each; how they vary is the valid spread of a distance."""
    scores = {}
    for name, score in sets[0].scores.items():
        values = [one.scores[name].value for one in sets]
        scores[name] = replace(
            score,
            value=float(np.mean(values)),
            pooling="mean",
            protocol=protocol,
            spread=Spread(
                deviation=float(np.std(values, ddof=1)),
                repeats=len(values),
                of="sample sets",
            ),
            notes=(),  # they were of the first set
        )
    return replace(sets[0], scores=scores, per_clip={})


def with_pairs(
    found: Evaluation,
    pairs: Sequence[Mapping[str, np.ndarray]],
    between: Mapping[str, np.ndarray],
    *,
    metrics: Metrics,
    protocol: Protocol,
) -> Evaluation:
    """Add the figures of pairs, over several samples their mean and their best, and diversity.

    Args:
        found: figures of sets.
        pairs: of each sample, the metrics of its frames against the real ones, `[n, t]`.
        between: what `diversity` gives; empty where there is one sample.
        metrics: of pairs, by name.
        protocol: how the clips were chosen.
    """
    scores: dict[str, Score] = {}
    per_clip: dict[str, np.ndarray] = {}

    def add(name: str, of_clips: np.ndarray, pooling: Pooling, network: Network | None) -> None:
        scores[name] = Score(
            metric=name,
            value=float(of_clips.mean()),
            interval=interval_of_mean(of_clips, seed=protocol.seed),
            protocol=protocol,
            scored_frames="predicted",
            pooling=pooling,
            network=network,
        )
        per_clip[name] = of_clips

    for name, (_, network) in metrics.items():
        stacked = np.stack([one[name].mean(axis=1) for one in pairs])
        add(name, stacked.mean(axis=0), "one" if len(pairs) == 1 else "mean", network)
        if len(pairs) > 1:
            best = stacked.max(axis=0) if higher_is_better(name) else stacked.min(axis=0)
            add(f"{name}_best_of_{len(pairs)}", best, "best", network)
    for name, of_clips in between.items():
        add(name, of_clips, "mean", metrics[name.removeprefix("diversity_")][1])
    horizon = {
        name: np.mean([one[name].mean(axis=0) for one in pairs], axis=0).tolist()
        for name in metrics
    }
    return replace(
        found, scores=scores | found.scores, horizon=horizon, per_clip=per_clip | found.per_clip
    )


def diversity(
    samples: Sequence[Clips],
    metrics: Metrics,
    *,
    context_frames: int,
) -> dict[str, np.ndarray]:
    """Give how far samples of one condition are from each other: LPIPS over pairs of samples.

    Args:
        samples: at least two sets of the same conditions in the same order.
        metrics: of pairs of frames; those of LPIPS are used.
        context_frames: which are the same in all, and left out.

    Returns:
        `diversity_NAME` of each condition, a mean over frames and over evenly chosen pairs,
        `MOST_PAIRS` at most; 0: all samples are alike.
    """
    pairs = list(combinations(range(len(samples)), 2))
    pairs = pairs[:: -(-len(pairs) // MOST_PAIRS)]
    chosen = {name: metric for name, (metric, _) in metrics.items() if name.startswith("lpips")}
    rows: dict[str, list[np.ndarray]] = {name: [] for name in chosen}
    for part in rows_at_once(len(samples[0])):
        futures = [clips[part][:, context_frames:] for clips in samples]
        for name, metric in chosen.items():
            distances = [metric(futures[a], futures[b]).mean(axis=1) for a, b in pairs]
            rows[name].append(np.mean(distances, axis=0))
    return {f"diversity_{name}": np.concatenate(parts) for name, parts in rows.items()}
