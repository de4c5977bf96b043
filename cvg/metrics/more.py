"""Figures of a run's clips beside those of pixels and features: copies, captions, the critic."""

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import replace

import numpy as np

from cvg.conditions.condition import Condition
from cvg.critic.store import TrainedCritic
from cvg.frames.samples import SampledClip
from cvg.frames.store import FrameStore
from cvg.metrics.candidates import training_batches
from cvg.metrics.copying import copied_share, nearest_distances
from cvg.metrics.evaluate import Evaluation
from cvg.metrics.intervals import interval_of_mean
from cvg.metrics.judged import critic_area, critic_scores
from cvg.metrics.scores import Protocol, Score
from cvg.metrics.told import read_captions, shows_what_is_told
from cvg.segments import Windows
from cvg.vqgan.model import Vqgan

RECONSTRUCTION = "control.reconstruction"

Evaluations = MutableMapping[str, Evaluation]
Paired = Mapping[str, np.ndarray]


class MoreFigures:
    """Adds figures to evaluations; where clips do not admit one it is left out."""

    def __init__(self, real: np.ndarray, clips: Sequence[SampledClip], protocol: Protocol) -> None:
        """Keep what all figures need.

        Args:
            real: uint8 `[n, t, h, w, 3]`.
            clips: what they are.
            protocol: how they were chosen.
        """
        self._real, self._clips, self._protocol = real, clips, protocol
        self._first = protocol.context_frames

    def add_copying(self, evaluations: Evaluations, paired: Paired, store: FrameStore) -> None:
        """Add `copied`: the share that is nearer to a training clip than the real clip is."""
        windows = Windows(store.segments("train"), length=self._real.shape[1])
        if not len(windows):
            return
        own = nearest_distances(self._real, training_batches(store, windows), first=self._first)
        for name, clips in paired.items():
            if name == RECONSTRUCTION:
                continue
            found = nearest_distances(clips, training_batches(store, windows), first=self._first)
            note = (
                f"nearest training clip {found.mean():.1f} grey levels away on average, of the "
                f"real clips {own.mean():.1f}"
            )
            self._add(evaluations, name, "copied", copied_share(found, own), note=note)

    def add_told(self, evaluations: Evaluations, paired: Paired) -> None:
        """Add `as_told`, where all captions are of made shapes, and so can be read from pixels."""
        scenes = read_captions([clip.caption for clip in self._clips])
        if scenes is None:
            return
        videos = [clip.video for clip in self._clips]
        for name, clips in paired.items():
            right = shows_what_is_told(clips, scenes, first=self._first).astype(float)
            interval = interval_of_mean(right, videos=videos, seed=self._protocol.seed)
            score = self._add(evaluations, name, "as_told", float(right.mean()))
            evaluations[name].scores["as_told"] = replace(score, interval=interval)

    def add_critic(
        self, evaluations: Evaluations, paired: Paired, critic: TrainedCritic, vqgan: Vqgan
    ) -> None:
        """Add `critic_auc`: how well the critic tells the clips from the real ones."""
        if self._real.shape[1] < critic.model.shape.frames:
            return
        told = [Condition(caption=clip.caption, label=clip.label) for clip in self._clips]
        own = critic_scores(critic, vqgan, self._real, told)
        for name, clips in paired.items():
            if name != RECONSTRUCTION:
                area = critic_area(own, critic_scores(critic, vqgan, clips, told))
                note = "0.5: the critic of the run cannot tell them from real clips"
                self._add(evaluations, name, "critic_auc", area, note=note, scored="all")

    def _add(
        self,
        evaluations: Evaluations,
        name: str,
        metric: str,
        value: float,
        *,
        note: str = "",
        scored: str = "predicted",
    ) -> Score:
        score = Score(
            metric=metric,
            value=value,
            protocol=self._protocol,
            scored_frames="all" if scored == "all" else "predicted",
            notes=(note,) if note else (),
        )
        found = evaluations[name]
        evaluations[name] = replace(found, scores=found.scores | {metric: score})
        return score
