"""The figures of samples, baselines and controls, under fixed names.

The nested names are what others rely on (`dvc metrics show`, scripts, the report): `sample.fvd`,
`baseline.nearest.lpips`, `control.real_vs_real.fvd`, ... A figure that could not be computed is
absent, never 0 and never null.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cvg.critic.store import TrainedCritic
from cvg.frames.samples import Samples
from cvg.frames.store import FrameStore
from cvg.metrics.candidates import Candidates, gather_candidates
from cvg.metrics.evaluate import Evaluation, Networks, common_fps, evaluate_candidates
from cvg.metrics.names import figure_key
from cvg.metrics.of_run import FiguresOfRun
from cvg.metrics.scores import Protocol
from cvg.vqgan.model import Vqgan

CLIPS_SHOWN = 8


@dataclass(frozen=True, kw_only=True)
class Suite:
    """The outcome of an evaluation."""

    figures: dict[str, Any]  # nested names to numbers
    scores: list[dict[str, Any]]  # each figure of clips with its protocol
    horizon: list[dict[str, Any]]  # rows: candidate, frame (1 = first predicted), figures
    clips: list[dict[str, Any]]  # rows: figures of each sample
    pictures: dict[str, np.ndarray]  # uint8 clips to look at, and their numbers
    absent: list[str]  # a sentence for each figure that is left out


def run_suite(
    store: FrameStore,
    samples: Samples,
    vqgan: Vqgan,
    networks: Networks,
    *,
    critic: TrainedCritic | None = None,
    seed: int,
) -> Suite:
    """Score the samples of a run beside its baselines and controls.

    Args:
        store: of real frames.
        samples: of the run.
        vqgan: on its device.
        networks: from `load_networks`.
        critic: of the run, on the same device; without one its figure is left out.
        seed: of the run.
    """
    device = next(vqgan.parameters()).device
    candidates = gather_candidates(store, samples, vqgan, seed=seed, device=device)
    protocol = _protocol(store, samples, seed=seed)
    evaluations = evaluate_candidates(
        candidates.real,
        paired=candidates.paired,
        unpaired=candidates.unpaired,
        protocol=protocol,
        networks=networks,
        videos=[clip.video for clip in samples.clips],
    )
    more = FiguresOfRun(candidates.real, samples.clips, protocol)
    more.add_copying(evaluations, candidates.paired, store)
    more.add_captions(evaluations, candidates.paired)
    if critic is not None:
        more.add_critic(evaluations, candidates.paired, critic, vqgan)
    absent = [
        *networks.missing,
        *more.absent,
        *(text for e in evaluations.values() for text in e.absent),
    ]
    return Suite(
        figures=_nest(evaluations),
        scores=[
            {"candidate": name} | score.to_dict()
            for name, evaluation in evaluations.items()
            for score in evaluation.scores.values()
        ],
        horizon=list(_horizon_rows(evaluations)),
        clips=_clip_rows(samples, evaluations["sample"]),
        pictures=_pictures(candidates),
        absent=list(dict.fromkeys(absent)),
    )


def _protocol(store: FrameStore, samples: Samples, *, seed: int) -> Protocol:
    return Protocol(
        split="held_out",
        clips=len(samples.clips),
        frames=samples.frames.shape[1] - samples.goal,
        goal=samples.goal,
        context_frames=samples.context_frames,
        size=samples.frames.shape[2],
        fps=common_fps(store.segments("held_out")),
        seed=seed,
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


def _pictures(candidates: Candidates) -> dict[str, np.ndarray]:
    # Evenly spread, not chosen: neither the best nor the worst.
    count = min(CLIPS_SHOWN, len(candidates.real))
    chosen = [(2 * i + 1) * len(candidates.real) // (2 * count) for i in range(count)]
    clips = {"truth": candidates.real} | {
        name.rpartition(".")[2]: clips for name, clips in candidates.paired.items()
    }
    return {"chosen": np.array(chosen)} | {
        f"clips.{name}": np.ascontiguousarray(array[chosen]) for name, array in clips.items()
    }
