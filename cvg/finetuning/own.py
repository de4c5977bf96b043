"""Clips that the transformers write themselves, before they are tuned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from cvg.codes.batches import gather_codes
from cvg.codes.store import CodeStore
from cvg.conditions.batch import Conditions
from cvg.conditions.condition import Condition, Kind
from cvg.conditions.conditioning import Conditioning
from cvg.conditions.dropout import without
from cvg.config import DrawParams
from cvg.errors import UserError
from cvg.progress import Steps
from cvg.sampling.models import Models
from cvg.sampling.rollout import Task, roll_out
from cvg.seeding import generator
from cvg.segments import Windows
from cvg.tensors import Int64, Tensor
from cvg.training.share import Share
from cvg.transformer.conditioning import known_conditions

UNTOLD: tuple[Kind, ...] = ("motion",)
CONTEXT_FRAMES = 4  # real ones, in front of what is written
CLIPS_AT_ONCE = 32


@dataclass(frozen=True, kw_only=True)
class OwnClips:
    """Written frames, without the real ones in front of them.

    Attributes:
        codes: by level, `[n, t, h, w]`.
        conditions: under which each was written, for the real frames in front too.
        first: number of the first written frame.
    """

    codes: Mapping[str, Int64[Tensor, "n t _ _"]]
    conditions: Sequence[Condition]
    first: int

    def random(self, share: Share, *, rng: torch.Generator) -> "OwnClips":
        """Draw a batch of clips with repetition; give a share of it."""
        drawn = torch.randint(len(self.conditions), (share.total,), generator=rng)
        chosen = drawn[share.rows]
        return OwnClips(
            codes={level: grids[chosen] for level, grids in self.codes.items()},
            conditions=[self.conditions[number] for number in chosen.tolist()],
            first=self.first,
        )

    def told(self, conditioning: Conditioning) -> Conditions:
        """Give the conditions of the written frames, as a model takes them; motion is left out.

        It was measured with the real frames in front, and by the classes of one model.
        """
        end = self.first + next(iter(self.codes.values())).shape[1]
        everything = conditioning.gather(self.conditions, frames=end)
        return without(everything.clip(self.first, end), UNTOLD)


def write_own(
    models: Models,
    store: CodeStore,
    settings: DrawParams,
    *,
    clips: int,
    frames: int,
    seed: int,
) -> OwnClips:
    """Continue training clips, as they are told, without temperature, filters and guidance.

    Args:
        models: before they are tuned.
        store: of the codes.
        settings: of which rounds of parallel order and the packing of weights are taken.
        clips: how many; fewer where the training segments have not as many windows.
        frames: written ones of each.
        seed: root seed.

    Raises:
        UserError: no training segment is long enough.
    """
    length = CONTEXT_FRAMES + frames
    windows = Windows(store.segments("train"), length=length)
    if not windows:
        raise UserError(
            f"no training segment has the {length} frames that are to be written after; lower "
            "transformer.*.clip_frames or critic.frames in params.yaml, add longer videos, or set "
            "finetune.own_share: 0, which teach can do with"
        )
    order = torch.randperm(len(windows), generator=generator(seed, "finetune", "own"))
    chosen = [windows[number] for number in order[:clips].tolist()]
    guidance = settings.guidance.model_copy(
        update=dict.fromkeys(type(settings.guidance).model_fields, 1.0)
    )
    plain = settings.model_copy(
        update={"temperature": 1.0, "top_k": 0, "top_p": 1.0, "guidance": guidance}
    )
    layout = models.finest.model.layout
    vocabulary = models.conditioning.vocabulary
    written: list[dict[str, Tensor]] = []
    conditions: list[Condition] = []
    with Steps("finetune: samples of its own", total=len(chosen)) as steps:
        for start in range(0, len(chosen), CLIPS_AT_ONCE):
            part = chosen[start : start + CLIPS_AT_ONCE]
            batch = gather_codes(store, part, layout=layout)
            codes = layout.from_sequence(batch.sequence.to(models.device))
            told = known_conditions(batch, vocabulary)
            task = Task(
                names=[f"{w.segment.video}#{w.segment.first_frame + w.start}" for w in part],
                conditions=told,
                frames=length,
                context={level: grids[:, :CONTEXT_FRAMES] for level, grids in codes.items()},
            )
            drawn = list(roll_out(models.transformers, task, plain, seed=seed))
            written.append(
                {
                    level: torch.stack([frame[level] for frame in drawn], dim=1)
                    for level in models.transformers
                }
            )
            conditions += told
            steps.advance(len(part))
    return OwnClips(
        codes={
            level: torch.cat([part[level] for part in written]).cpu()
            for level in models.transformers
        },
        conditions=conditions,
        first=CONTEXT_FRAMES,
    )
