"""The critic teaches: a frame is imagined, and its gradient passes the decoder to the logits."""

from collections.abc import Collection, Mapping

import torch

from cvg.codes.batches import CodeBatch
from cvg.conditions.batch import Conditions
from cvg.conditions.condition import Kind
from cvg.conditions.dropout import without
from cvg.critic.examples import tell
from cvg.critic.sight import Sight
from cvg.critic.store import TrainedCritic
from cvg.finetuning.adversary import Adversary, Shown
from cvg.finetuning.imagine import Imagination
from cvg.finetuning.materials import Materials, as_in_sampling
from cvg.finetuning.own import UNTOLD, OwnClips
from cvg.finetuning.watch import Weight
from cvg.seeding import generator
from cvg.tensors import Float, Int64, Tensor
from cvg.training.share import Share


class Teacher:
    """Gives the loss of imagined frames, and trains the critic on the side."""

    def __init__(self, materials: Materials, critic: TrainedCritic, weight: Weight) -> None:
        """Prepare clips and critic.

        Args:
            materials: of clips with at least as many frames as the critic sees.
            critic: pretrained.
            weight: of the loss, which is lowered where the critic wins for long.
        """
        models, params, around = materials.models, materials.params, materials.around
        self._materials, self._critic = materials, critic
        self._batches = materials.real_batches()
        self._sight = Sight(vqgan=models.vqgan, input=critic.input)
        self._imagination = Imagination(
            transformers={
                level: materials.tuned.get(level, one.model)
                for level, one in models.transformers.items()
            },
            codebooks=models.vqgan.codebooks(),
            taught=materials.tuned,
            temperature=params.temperature,
            runtime=around.runtime,
        )
        self.adversary = Adversary(
            critic.model.to(around.device),
            params,
            weight,
            runtime=around.runtime,
            learning_rate=around.learning_rate * params.critic_lr_scale,
        )

    def __call__(self, step: int, part: int) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """Train the critic by one step; give the loss of the transformers, unweighted, and figures.

        Args:
            step: number of the step.
            part: number of the batch within the step.
        """
        params, own = self._materials.params, self._materials.own
        rng = generator(self._materials.around.seed, "teach", step, part)
        share = self._materials.around.runtime.ranks.share(params.batch_size)
        batch = self._batches.random(params.batch_size, rng=rng).take(share.rows)
        with as_in_sampling(self._materials.tuned.values()):
            if torch.rand((), generator=rng).item() < params.own_share and own is not None:
                real = self._show(batch, last_pair=True, but=UNTOLD)
                imagined = self._after_own(own.random(share, rng=rng), share, rng)
            else:
                real = self._show(batch)
                imagined = self._after_real(batch, real, share, rng)
        figures = self.adversary.learn(real, imagined)
        return self.adversary.loss(imagined), figures

    def _show(
        self, batch: CodeBatch, *, last_pair: bool = False, but: Collection[Kind] = ()
    ) -> Shown:
        told = without(tell(self._critic.conditioning, batch), but)
        return Shown(
            pictures=self._see_last(self._materials.codes_of(batch)),
            conditions=told.to(self._materials.device),
            last_pair=last_pair,
        )

    def _after_real(
        self, batch: CodeBatch, real: Shown, share: Share, rng: torch.Generator
    ) -> Shown:
        codes, told = self._materials.codes_of(batch), self._materials.told_of_real(batch)
        pictures = self._with_last(real.pictures, codes, told, share, rng)
        return Shown(pictures=pictures, conditions=real.conditions)

    def _after_own(self, own: OwnClips, share: Share, rng: torch.Generator) -> Shown:
        device = self._materials.device
        codes = {level: grids.to(device) for level, grids in own.codes.items()}
        told = self._materials.told_of_own(own)
        pictures = self._with_last(self._see_last(codes), codes, told, share, rng)
        return Shown(
            pictures=pictures,
            conditions=own.told(self._critic.conditioning).to(device),
            last_pair=True,  # in the frames before it nothing can be learned
        )

    def _with_last(
        self,
        pictures: Float[Tensor, "b t c h w"],
        codes: Mapping[str, Int64[Tensor, "b _ _ _"]],
        told: Mapping[str, Conditions],
        share: Share,
        rng: torch.Generator,
    ) -> Float[Tensor, "b t c h w"]:
        """Put an imagined frame in the place of the last one."""
        frame = self._sight.see(self._imagination.write(codes, told, rng=rng, share=share))
        return torch.cat([pictures[:, :-1], frame], dim=1)

    @torch.no_grad()
    def _see_last(
        self, codes: Mapping[str, Int64[Tensor, "b _ _ _"]]
    ) -> Float[Tensor, "b t c h w"]:
        """Show the last frames of clips, as many as the critic sees."""
        count = self._critic.model.shape.frames
        last = {level: grids[:, -count:] for level, grids in codes.items()}
        return self._sight.see(self._sight.look_up(last))
