"""Figures that only the clips of a run admit: copies, captions, the verdict of its critic."""

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import replace

import numpy as np

from cvg.conditions.condition import Condition
from cvg.critic.auc import area_under_curve
from cvg.critic.store import TrainedCritic
from cvg.frames.samples import SampledClip
from cvg.frames.store import FrameStore
from cvg.metrics.by_critic import critic_scores
from cvg.metrics.candidates import training_batches
from cvg.metrics.captions import read_captions, shows_what_is_told
from cvg.metrics.copying import nearest_distances
from cvg.metrics.evaluate import Evaluation
from cvg.metrics.intervals import interval_of_mean
from cvg.metrics.scores import Protocol, Score
from cvg.segments import Windows
from cvg.tensors import Float
from cvg.vqgan.model import Vqgan

RECONSTRUCTION = "control.reconstruction"
WRITTEN = ("sample", "control.unconditional")  # by the model, as codes

Evaluations = MutableMapping[str, Evaluation]
Paired = Mapping[str, np.ndarray]


class FiguresOfRun:
    """Adds figures to evaluations.

    Attributes:
        absent: a sentence for each figure that the clips do not admit.
    """

    def __init__(self, real: np.ndarray, clips: Sequence[SampledClip], protocol: Protocol) -> None:
        """Keep what all figures need.

        Args:
            real: uint8 `[n, t, h, w, 3]`.
            clips: what they are.
            protocol: how they were chosen.
        """
        self._real, self._clips, self._protocol = real, clips, protocol
        self._first = protocol.context_frames
        self._videos = [clip.video for clip in clips]
        self.absent: list[str] = []

    def add_copying(self, evaluations: Evaluations, paired: Paired, store: FrameStore) -> None:
        """Add `copied`: the share that is nearer to a training clip than the real clip is."""
        windows = Windows(store.segments("train"), length=self._real.shape[1])
        if not len(windows):
            self.absent.append("copied is left out: no training clip is as long as the clips")
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
            self._add(evaluations, name, "copied", (found < own).astype(float), note=note)

    def add_captions(self, evaluations: Evaluations, paired: Paired) -> None:
        """Add `caption_accuracy`, where all captions are of made shapes, as pixels tell them."""
        scenes = read_captions([clip.caption for clip in self._clips])
        if scenes is None:
            return  # of other videos there is nothing to be said, so nothing is missing
        for name, clips in paired.items():
            right = shows_what_is_told(clips, scenes, first=self._first)
            self._add(evaluations, name, "caption_accuracy", right.astype(float))

    def add_critic(
        self, evaluations: Evaluations, paired: Paired, critic: TrainedCritic, vqgan: Vqgan
    ) -> None:
        """Add `critic_auc`: how well the critic tells the clips from real ones.

        What the model wrote has been codes before, so it is held against real clips that were, the
        reconstructions; frames that were never codes are held against the real clips.
        """
        frames, needed = self._real.shape[1], critic.model.shape.frames
        if frames < needed:
            self.absent.append(
                f"critic_auc is left out: the critic looks at {needed} frames, the clips have "
                f"{frames}"
            )
            return
        told = [Condition(caption=clip.caption, label=clip.label) for clip in self._clips]
        real = {
            written: critic_scores(critic, vqgan, clips, told)
            for written, clips in ((True, paired[RECONSTRUCTION]), (False, self._real))
        }
        for name, clips in paired.items():
            if name == RECONSTRUCTION:
                continue
            scores = critic_scores(critic, vqgan, clips, told)
            area = area_under_curve(real[name in WRITTEN], scores)
            score = Score(
                metric="critic_auc",
                value=area,
                protocol=self._protocol,
                scored_frames="all",
                notes=("0.5: the critic of the run cannot tell them from real clips",),
            )
            found = evaluations[name]
            evaluations[name] = replace(found, scores=found.scores | {"critic_auc": score})

    def _add(
        self,
        evaluations: Evaluations,
        name: str,
        metric: str,
        of_clips: Float[np.ndarray, "n"],
        *,
        note: str = "",
    ) -> None:
        score = Score(
            metric=metric,
            value=float(of_clips.mean()),
            interval=interval_of_mean(of_clips, videos=self._videos, seed=self._protocol.seed),
            protocol=self._protocol,
            scored_frames="predicted",
            notes=(note,) if note else (),
        )
        found = evaluations[name]
        evaluations[name] = replace(
            found,
            scores=found.scores | {metric: score},
            per_clip=found.per_clip | {metric: of_clips},
        )
