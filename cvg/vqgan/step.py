"""One training step of the VQGAN: its losses and their weights."""

import torch
import torch.nn.functional as F

from cvg.config import VqganParams
from cvg.seeding import generator
from cvg.tensors import Float, Int64, Tensor
from cvg.training.finite import NonFiniteError
from cvg.training.history import in_words
from cvg.training.loop import StepResult
from cvg.training.runtime import Runtime
from cvg.vqgan.adversary import Adversary
from cvg.vqgan.comparator import Comparator
from cvg.vqgan.model import Vqgan
from cvg.vqgan.stillness import stillness_loss


class VqganStep:
    """Computes the loss of a batch; trains the patch discriminator on the side."""

    def __init__(
        self,
        vqgan: Vqgan,
        params: VqganParams,
        *,
        comparator: Comparator | None,
        adversary: Adversary | None,
        runtime: Runtime,
        seed: int,
    ) -> None:
        """Prepare the losses.

        Args:
            vqgan: the model in training.
            params: weights of the losses.
            comparator: the perceptual loss, or None.
            adversary: the discriminator with its optimizer, or None.
            runtime: precision of the model and the comparator; the losses are in single precision.
            seed: root seed.
        """
        self.vqgan = vqgan
        self.params = params
        self.comparator = comparator
        self.adversary = adversary
        self.runtime = runtime
        self.seed = seed

    def __call__(self, frames: Float[Tensor, "b c h w"], step: int, part: int = 0) -> StepResult:
        """Give the loss of one batch of frames in [-1, 1], and its unweighted terms.

        Args:
            frames: real ones.
            step: number of the optimizer step, which schedules follow.
            part: number of the batch within the step.

        Raises:
            NonFiniteError: a number is not finite; the discriminators were left as they were.
        """
        params = self.params
        depth = self._depths(len(frames), step, part).to(frames.device)
        with self.runtime.autocast():
            result = self.vqgan(frames, depth)
        shown = result.frames.float()
        figures = {"l1": F.l1_loss(shown, frames), "l2": F.mse_loss(shown, frames)}
        picture = params.l1_weight * figures["l1"] + params.l2_weight * figures["l2"]
        if self.comparator is not None:
            count = compared_frames(params)
            with self.runtime.autocast():
                figures["perceptual"] = self.comparator(shown[:count], frames[:count]).float()
            picture = picture + params.comparator_weight * figures["perceptual"]
        loss = picture
        for level, quantized in result.levels.items():
            figures[f"commitment_{level}"] = quantized.commitment_loss
            figures[f"restarted_{level}"] = quantized.restarted
            loss = loss + params.commitment_weight * quantized.commitment_loss
            if params.still_weight:
                figures[f"still_{level}"] = stillness_loss(quantized.encoded, frames)
                loss = loss + params.still_weight * figures[f"still_{level}"]
        if self.adversary is not None:
            if not torch.isfinite(picture):
                raise NonFiniteError(f"the loss of the picture is not finite ({in_words(figures)})")
            extra, adversarial_figures = self.adversary(
                frames, shown, picture, last_layer=self.vqgan.last_layer, step=step, part=part
            )
            loss = loss + extra
            figures |= adversarial_figures
        return StepResult(loss=loss, figures=figures)

    def _depths(self, count: int, step: int, part: int) -> Int64[Tensor, "b"]:
        """Draw how many levels each sample is decoded from: mostly all; successive ones alike."""
        levels, successive = len(self.vqgan.shape.levels), successive_frames(self.params)
        rng = generator(self.seed, "vqgan", "depth", step, part)
        dropped = torch.rand(count // successive, generator=rng) < self.params.bottom_drop
        fewer = torch.randint(1, max(2, levels), dropped.shape, generator=rng)
        return torch.where(dropped, fewer, levels).repeat_interleave(successive)


def successive_frames(params: VqganParams) -> int:
    """Give how many successive frames of a video lie beside each other in a batch."""
    paired = params.discriminator.enabled and params.discriminator.pairs
    return 2 if paired or params.still_weight else 1


def compared_frames(params: VqganParams) -> int:
    """Give how many frames of a batch the comparator sees; at least one."""
    return max(1, round(params.comparator_share * params.batch_size))
