"""Videos from conditions and frames of one's own; docs/transformers.md has an example."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, UInt8

from cvg.conditions.condition import Condition
from cvg.conditions.conditioning import Conditioning
from cvg.config import DrawParams
from cvg.errors import UserError
from cvg.frames.aligned import shrink_maps
from cvg.sampling.decode import decode_as_they_come
from cvg.sampling.models import Models, load_models, newest_transformers
from cvg.sampling.rank import roll_out_best
from cvg.sampling.rollout import Task, in_force
from cvg.vqgan.reconstruct import encode_clips


@dataclass(frozen=True, kw_only=True)
class Request:
    """A video that is asked for; what is None is left to the model.

    Attributes:
        frames: of the video, those given included.
        first: frames that it begins with, uint8 `[t, h, w, 3]`, of the size of the models.
        last: frame in which it ends, uint8 `[h, w, 3]`.
        condition: from the first frame on.
        changes: other conditions from a frame on.
    """

    frames: int
    first: UInt8[np.ndarray, "t h w 3"] | None = None
    last: UInt8[np.ndarray, "h w 3"] | None = None
    condition: Condition = field(default_factory=Condition)
    changes: Mapping[int, Condition] | None = None


class Generator:
    """Writes videos with trained models."""

    def __init__(self, models: Models, settings: DrawParams) -> None:
        """Use models, and draw codes by these settings unless told otherwise."""
        self.models = models
        self.settings = settings

    @classmethod
    def load(
        cls, folder: Path, *, settings: DrawParams | None = None, device: str = "cpu"
    ) -> "Generator":
        """Load the models that the stages wrote.

        Args:
            folder: with `vqgan` in it, and `finetuned` or `transformer`; `critic` too where the
                settings choose among candidates.
            settings: how codes are drawn; None for those of the `params.yaml` beside the folder, or
                else in the present one.
            device: where to compute.

        Raises:
            UserError: a file is missing or damaged, or the models do not belong together.
        """
        from cvg.params import load_params

        if settings is None:
            beside = folder.parent / "params.yaml"
            settings = load_params(beside if beside.is_file() else Path("params.yaml")).sample
        models = load_models(
            vqgan=folder / "vqgan",
            transformers=newest_transformers(folder),
            critic=folder / "critic" if settings.best_of > 1 else None,
            device=torch.device(device),
        )
        return cls(models, settings)

    @property
    def frame_size(self) -> int:
        """Height and width of a frame, pixels."""
        return self.models.vqgan.shape.size

    def sample(
        self,
        *,
        frames: int,
        first: UInt8[np.ndarray, "given h w 3"] | None = None,
        last: UInt8[np.ndarray, "h w 3"] | None = None,
        seed: int = 0,
        guidance: Mapping[str, float] | None = None,
        **condition: Any,
    ) -> UInt8[np.ndarray, "t h w 3"]:
        """Write one video, and give all its frames.

        Args:
            frames: of the video, those given included.
            first: frames that it begins with.
            last: frame in which it ends.
            seed: another seed gives another video.
            guidance: scales by kind, where they differ from the settings.
            condition: fields of `Condition`: caption, label, fps, motion, actions, map.

        Raises:
            UserError: something is asked that the models do not know, or does not fit together.
        """
        request = Request(frames=frames, first=first, last=last, condition=Condition(**condition))
        settings = self.settings
        if guidance:
            self._check_guidance(guidance)
            scales = settings.guidance.model_copy(update=dict(guidance))
            settings = settings.model_copy(update={"guidance": scales})
        chunks = self.stream([request], seed=seed, settings=settings)
        return np.concatenate([chunk[0] for chunk in chunks])

    def stream(
        self,
        requests: Sequence[Request],
        *,
        names: Sequence[str] | None = None,
        seed: int = 0,
        settings: DrawParams | None = None,
    ) -> Iterator[UInt8[np.ndarray, "b t h w 3"]]:
        """Write videos of equal length at once, and give their frames as they come.

        Memory does not grow with the length of the videos.

        Args:
            requests: of each video; all alike in length and in the frames given.
            names: of the videos; the random numbers of a video follow from the seed and its name.
            seed: root seed.
            settings: how codes are drawn; None for those of the generator.

        Yields:
            successive frames of all videos, the given ones included, as they were given.

        Raises:
            UserError: something is asked that the models do not know, or does not fit together.
        """
        self.check(requests)
        names = names or [f"video {number}" for number in range(len(requests))]
        frames = roll_out_best(
            self.models, self._task(requests, names), settings or self.settings, seed=seed
        )
        if firsts := [request.first for request in requests if request.first is not None]:
            yield np.stack(firsts)
        yield from decode_as_they_come(self.models.vqgan, frames)
        if lasts := [request.last for request in requests if request.last is not None]:
            yield np.stack(lasts)[:, None]

    def check(self, requests: Sequence[Request]) -> None:
        """Refuse what cannot be done.

        Raises:
            UserError: with a line for each reason.
        """
        reasons = [reason for request in requests for reason in self._refusals(request)]
        shapes = {_given(request) for request in requests}
        if len(shapes) > 1:
            reasons.append("videos written at once must have as many frames, and as many given")
        if reasons:
            lines = "\n  ".join(dict.fromkeys(reasons))
            raise UserError(f"this video cannot be made:\n  {lines}")

    def _check_guidance(self, guidance: Mapping[str, float]) -> None:
        for kind, scale in guidance.items():
            if kind not in self.conditioning.kinds or scale < 0:
                known = ", ".join(self.conditioning.kinds) or "none"
                raise UserError(
                    f"guidance of {kind} by {scale:g}: expected 0 or more, for a kind that the "
                    f"models take: {known}"
                )

    def _refusals(self, request: Request) -> Iterator[str]:
        given = 0 if request.first is None else len(request.first)
        ends = request.last is not None
        if request.frames < 1:
            yield f"length is {request.frames} frames; expected 1 or more"
        elif given + ends >= request.frames:
            yield (
                f"length is {request.frames} frames, and {given + ends} are given; expected more "
                "than are given"
            )
        size = self.frame_size
        for name, pictures in (("first", request.first), ("last", request.last)):
            if pictures is not None and pictures.shape[-3:-1] != (size, size):
                h, w = pictures.shape[-3:-1]
                yield f"{name} has frames of {w} x {h} pixels; the models write {size} x {size}"
        conditions = [request.condition, *(request.changes or {}).values()]
        for condition in conditions:
            yield from self.conditioning.refusals(condition)
            yield from _short_rows(condition, request.frames)
        first, end = max(1, given), request.frames - ends
        for frame in request.changes or {}:
            if not first <= frame < end:
                yield f"a condition changes at frame {frame}; expected {first} to {end - 1}"

    @property
    def conditioning(self) -> Conditioning:
        """The conditions that the models take."""
        return self.models.conditioning

    def small_map(self, pictures: UInt8[np.ndarray, "t h w"]) -> Float32[np.ndarray, "t c c"]:
        """Give maps as conditions hold them, from pictures of the size of a frame.

        Raises:
            UserError: they have another size, or the models take no maps.
        """
        size, cells = self.frame_size, self.conditioning.map_cells
        if not cells:
            raise UserError("map: the models were trained without")
        if pictures.shape[1:] != (size, size):
            h, w = pictures.shape[1:]
            raise UserError(f"map has pictures of {w} x {h} pixels; expected {size} x {size}")
        return shrink_maps(pictures, cells).astype(np.float32) / 255

    def _task(self, requests: Sequence[Request], names: Sequence[str]) -> Task:
        changes = {
            frame: [
                in_force(request.condition, request.changes, frame=frame) for request in requests
            ]
            for frame in sorted({f for request in requests for f in request.changes or {}})
        }
        firsts = [request.first for request in requests if request.first is not None]
        lasts = [request.last for request in requests if request.last is not None]
        return Task(
            names=names,
            conditions=[request.condition for request in requests],
            frames=requests[0].frames,
            context=encode_clips(self.models.vqgan, np.stack(firsts)) if firsts else None,
            goal=(
                {
                    level: grids[:, 0]
                    for level, grids in encode_clips(
                        self.models.vqgan, np.stack(lasts)[:, None]
                    ).items()
                }
                if lasts
                else None
            ),
            changes=changes,
        )


def _given(request: Request) -> tuple[int, int, bool]:
    first = 0 if request.first is None else len(request.first)
    return request.frames, first, request.last is not None


def _short_rows(condition: Condition, frames: int) -> Iterator[str]:
    """Refuse actions and maps that end too early: they must lead to the last frame."""
    for name, rows, needed in (
        ("actions", condition.actions, frames - 1),
        ("map", condition.map, frames),
    ):
        if rows is not None and len(rows) < needed:
            yield f"{name}: {len(rows)} rows; {frames} frames need {needed} at least"
