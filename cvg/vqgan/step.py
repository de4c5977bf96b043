"""One training step of the VQGAN: its losses, their weights, and the adversary's own step."""

import torch
import torch.nn.functional as F
from torch import nn

from cvg.config import VqganParams
from cvg.seeding import generator
from cvg.tensors import Float, Tensor
from cvg.training.loop import StepResult, parameter_groups
from cvg.vqgan.comparator import Comparator
from cvg.vqgan.discriminator import (
    PatchDiscriminator,
    adaptive_factor,
    adversarial_loss,
    discriminator_loss,
)
from cvg.vqgan.model import Vqgan


class VqganStep:
    """Computes the loss of a batch; trains the patch discriminator on the side."""

    def __init__(
        self,
        vqgan: Vqgan,
        params: VqganParams,
        *,
        comparator: Comparator | None,
        learning_rate: float,
        seed: int,
    ) -> None:
        """Prepare the losses.

        Args:
            vqgan: the model in training.
            params: weights of the losses.
            comparator: the perceptual loss, or None.
            learning_rate: base rate, for the discriminator.
            seed: root seed.
        """
        self.vqgan = vqgan
        self.params = params
        self.comparator = comparator
        self.seed = seed
        self.adversary = (
            Adversary(params, learning_rate=learning_rate).to(vqgan.last_layer.device)
            if params.discriminator.enabled
            else None
        )

    def __call__(self, frames: Float[Tensor, "b c h w"], step: int) -> StepResult:
        """Give the loss of one batch of frames in [-1, 1], and its unweighted terms."""
        params = self.params
        rng = generator(self.seed, "vqgan", "bottom_drop", step)
        keep = torch.rand(len(frames), generator=rng) >= params.bottom_drop
        result = self.vqgan(frames, keep.to(frames.device))
        figures = {
            "l1": F.l1_loss(result.frames, frames),
            "l2": F.mse_loss(result.frames, frames),
            "commitment_top": result.top.commitment_loss,
            "commitment_bottom": result.bottom.commitment_loss,
        }
        picture = params.l1_weight * figures["l1"] + params.l2_weight * figures["l2"]
        if self.comparator is not None:
            shown = max(1, round(params.comparator_share * len(frames)))
            figures["perceptual"] = self.comparator(result.frames[:shown], frames[:shown])
            picture = picture + params.comparator_weight * figures["perceptual"]
        loss = picture + params.commitment_weight * (
            figures["commitment_top"] + figures["commitment_bottom"]
        )
        if self.adversary is not None:
            extra, adversarial_figures = self.adversary(
                frames, result.frames, picture, last_layer=self.vqgan.last_layer, step=step
            )
            loss = loss + extra
            figures |= adversarial_figures
        return StepResult(loss=loss, figures=figures)


class Adversary(nn.Module):
    """The patch discriminator with its optimizer and its schedule.

    It trains from step 0, but its gradient reaches the decoder only from `start_step` on: the first
    judgements of an untrained critic spoil the picture.
    """

    def __init__(self, params: VqganParams, *, learning_rate: float) -> None:
        """Make an untrained discriminator."""
        super().__init__()
        self.params = params.discriminator
        self.discriminator = PatchDiscriminator(self.params.width)
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.discriminator, weight_decay=params.weight_decay),
            lr=learning_rate * self.params.lr_scale,
            betas=(0.5, 0.9),
        )

    def forward(
        self,
        real: Float[Tensor, "b c h w"],
        reconstructed: Float[Tensor, "b c h w"],
        picture_loss: Float[Tensor, ""],
        *,
        last_layer: Tensor,
        step: int,
    ) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """Train the discriminator by one step; give the decoder's weighted loss, and figures."""
        self.discriminator.requires_grad_(True)
        loss = discriminator_loss(
            self.discriminator(real), self.discriminator(reconstructed.detach())
        )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        figures = {"discriminator": loss.detach()}
        if step < self.params.start_step:
            return torch.zeros_like(loss), figures
        self.discriminator.requires_grad_(False)
        adversarial = adversarial_loss(self.discriminator(reconstructed))
        factor = adaptive_factor(
            picture_loss, adversarial, last_layer=last_layer, cap=self.params.max_adaptive
        )
        figures |= {"adversarial": adversarial, "adaptive_factor": factor}
        return self.params.weight * factor * adversarial, figures
