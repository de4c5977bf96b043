"""Figures that only the clips of a run admit: copies, captions, the verdict of its critic."""

from dataclasses import replace

import numpy as np

from cvg.conditions.condition import Condition
from cvg.critic.auc import area_under_curve
from cvg.critic.store import TrainedCritic
from cvg.frames.samples import Samples
from cvg.frames.store import FrameStore
from cvg.metrics.by_critic import critic_scores
from cvg.metrics.candidates import REAL, RECONSTRUCTION, training_batches
from cvg.metrics.captions import read_captions, shows_what_is_told
from cvg.metrics.copying import nearest_distances
from cvg.metrics.evaluate import Evaluation
from cvg.metrics.intervals import interval_of_mean
from cvg.metrics.measure import Rows
from cvg.metrics.scores import Protocol, Score
from cvg.segments import Windows
from cvg.tensors import Float
from cvg.vqgan.model import Vqgan

WRITTEN = ("sample", "control.unconditional")  # by the model, as codes
NEAREST, CAPTION, CRITIC = "nearest", "caption", "critic"  # what is measured


class FiguresOfRun:
    """Measures clips, and adds figures to evaluations.

    - `copied`: the share that is nearer to a training clip than the real clip is;
    - `caption_accuracy`, where all captions are of made shapes, as pixels tell them;
    - `critic_auc`: how well the critic tells the clips from real ones. What the model wrote has
      been codes before, so it is held against real clips that were, the reconstructions; frames
      that were never codes are held against the real clips.

    Attributes:
        absent: a sentence for each figure that the clips do not admit.
    """

    def __init__(
        self,
        store: FrameStore,
        samples: Samples,
        protocol: Protocol,
        *,
        vqgan: Vqgan,
        critic: TrainedCritic | None,
    ) -> None:
        """Look at what figures there are.

        Args:
            store: of real frames.
            samples: of the run.
            protocol: how they were chosen.
            vqgan: of the run.
            critic: on the device of the VQGAN; without one its figure is left out.
        """
        self._store, self._protocol = store, protocol
        self._first = protocol.context_frames
        self._videos = [clip.video for clip in samples.clips]
        self._told = [Condition(caption=clip.caption, label=clip.label) for clip in samples.clips]
        self._scenes = read_captions([clip.caption for clip in samples.clips])
        self._windows = Windows(store.segments("train"), length=protocol.frames)
        self._vqgan, self._critic = vqgan, critic
        self.absent: list[str] = []
        if not len(self._windows):
            self.absent.append("copied is left out: no training clip is as long as the clips")
        if critic is not None and protocol.frames < critic.model.shape.frames:
            self.absent.append(
                f"critic_auc is left out: the critic looks at {critic.model.shape.frames} frames, "
                f"the clips have {protocol.frames}"
            )
            self._critic = None

    def measure(self, name: str, clips: np.ndarray, rows: slice) -> Rows:
        """Measure some clips of a set.

        Args:
            name: of the set: the real clips, or those that continue their contexts.
            clips: uint8 `[n, t, h, w, 3]`.
            rows: which of the set they are.
        """
        found: Rows = {}
        if name != RECONSTRUCTION and len(self._windows):
            batches = training_batches(self._store, self._windows)
            found[NEAREST] = nearest_distances(clips, batches, first=self._first)
        if name != REAL and self._scenes is not None:
            found[CAPTION] = shows_what_is_told(clips, self._scenes[rows], first=self._first)
        if self._critic is not None:
            found[CRITIC] = critic_scores(self._critic, self._vqgan, clips, self._told[rows])
        return found

    def add(
        self, name: str, evaluation: Evaluation, found: Rows, *, real: Rows, coded: Rows
    ) -> Evaluation:
        """Add the figures of a set that continues the contexts of the real clips.

        Args:
            name: of the set.
            evaluation: of the set, so far.
            found: what was measured of it.
            real: of the real clips.
            coded: of the real clips that have been codes.
        """
        if NEAREST in found:
            copied = found[NEAREST] < real[NEAREST]
            note = (
                f"nearest training clip {found[NEAREST].mean():.1f} grey levels away on average, "
                f"of the real clips {real[NEAREST].mean():.1f}"
            )
            evaluation = self._with(evaluation, "copied", copied.astype(float), note=note)
        if CAPTION in found:
            evaluation = self._with(evaluation, "caption_accuracy", found[CAPTION].astype(float))
        if CRITIC in found and name != RECONSTRUCTION:
            beside = coded if name in WRITTEN else real
            score = self._critic_auc(area_under_curve(beside[CRITIC], found[CRITIC]))
            evaluation = replace(evaluation, scores=evaluation.scores | {"critic_auc": score})
        return evaluation

    def _critic_auc(self, area: float) -> Score:
        return Score(
            metric="critic_auc",
            value=area,
            protocol=self._protocol,
            scored_frames="all",
            notes=("0.5: the critic of the run cannot tell them from real clips",),
        )

    def _with(
        self,
        evaluation: Evaluation,
        metric: str,
        of_clips: Float[np.ndarray, "n"],
        *,
        note: str = "",
    ) -> Evaluation:
        score = Score(
            metric=metric,
            value=float(of_clips.mean()),
            interval=interval_of_mean(of_clips, videos=self._videos, seed=self._protocol.seed),
            protocol=self._protocol,
            scored_frames="predicted",
            notes=(note,) if note else (),
        )
        return replace(
            evaluation,
            scores=evaluation.scores | {metric: score},
            per_clip=evaluation.per_clip | {metric: of_clips},
        )
