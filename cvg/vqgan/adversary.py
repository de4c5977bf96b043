"""The adversary of the VQGAN: its discriminators, their own training, and the decoder's loss."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from einops import rearrange
from torch import nn

from cvg.config import DiscriminatorParams, VqganParams
from cvg.seeding import generator
from cvg.tensors import Float, Float32, Tensor
from cvg.training.adamw import AdamW
from cvg.training.adversarial import followed, lecam_penalty, r1_penalty
from cvg.training.finite import NonFiniteError
from cvg.training.optimizer import parameter_groups
from cvg.training.ranks import ALONE, Ranks
from cvg.vqgan.diffaugment import diffaugment
from cvg.vqgan.discriminator import (
    PatchDiscriminator,
    adaptive_factor,
    adversarial_loss,
    discriminator_loss,
    right_share,
)
from cvg.vqgan.quantizer import FRAMES_TOGETHER


class Adversary:
    """The patch discriminators with their optimizer and their schedule.

    They train from step 0, but their gradient reaches the decoder only from `start_step` on: the
    first judgements of an untrained critic spoil the picture.

    All of it computes in float32, under autocast too: the gradient penalty and the adaptive factor
    are made of gradients, which are small.
    """

    def __init__(
        self,
        params: VqganParams,
        *,
        learning_rate: float,
        seed: int,
        device: torch.device,
        ranks: Ranks = ALONE,
    ) -> None:
        """Make untrained discriminators; their weights come from the global generator.

        Args:
            params: settings of the discriminator, and the weight decay.
            learning_rate: base rate, scaled by the discriminator's own.
            seed: root seed, of the random changes to what is judged.
            device: where it computes.
            ranks: each of which has a part of the frames, and the same discriminators.
        """
        self.params = params.discriminator
        self.ranks = ranks
        self.seed = seed
        self.together = 2 if self.params.pairs else 1
        with device:
            self.each = [Judge(self.params, frames=t) for t in range(1, self.together + 1)]
        self.judges = nn.ModuleList(self.each)
        self.optimizer = AdamW(
            parameter_groups(self.judges, weight_decay=params.weight_decay),
            lr=learning_rate * self.params.lr_scale,
            betas=(0.5, 0.9),
        )

    def __call__(
        self,
        real: Float[Tensor, "b c h w"],
        reconstructed: Float[Tensor, "b c h w"],
        picture_loss: Float[Tensor, ""],
        *,
        last_layer: Tensor,
        step: int,
        part: int = 0,
    ) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """Train the discriminators by one step; give the decoder's weighted loss, and figures.

        Args:
            real: frames in [-1, 1]; with `pairs`, rows 2i and 2i + 1 are successive frames.
            reconstructed: the same frames from the decoder.
            picture_loss: what the decoder's loss is made of besides; its gradient is the measure
                of the adversarial one.
            last_layer: weights of the decoder at which both gradients are compared.
            step: number of the step.
            part: number of the batch within the step.

        Returns:
            The loss to add, 0 before `start_step`; and unweighted terms, means over the
            discriminators: `discriminator` (hinge), `discriminator_right` (share of patches on the
            right side), with pairs `discriminator_pairs` (hinge of the judge of pairs), `r1` and
            `lecam` where their weights are above 0, from `start_step` on `adversarial` and
            `adaptive_factor`.

        Raises:
            NonFiniteError: the discriminators' loss or gradient is not finite; they were left as
                they were.
        """
        with torch.autocast(real.device.type, enabled=False):
            real, reconstructed = real.float(), reconstructed.float()
            figures = self._learn(
                self._shown(real.detach(), "real", step, part),
                self._shown(reconstructed.detach(), "reconstructed", step, part),
            )
            if step < self.params.start_step:
                return torch.zeros((), device=real.device), figures
            self.judges.requires_grad_(False)
            shown = self._shown(reconstructed, "decoder", step, part)
            adversarial = torch.stack(
                [adversarial_loss(judge(shown)) for judge in self.each]
            ).mean()
            factor = adaptive_factor(
                picture_loss.float(),
                adversarial,
                last_layer=last_layer,
                cap=self.params.max_adaptive,
                ranks=self.ranks,
            )
            figures |= {"adversarial": adversarial.detach(), "adaptive_factor": factor}
            return self.params.weight * factor * adversarial, figures

    def state_dict(self) -> dict[str, Any]:
        """Give all that a resumed run needs, as nested dicts of tensors with keys that are text.

        The optimizer's settings are no part of it; they follow from the parameters.
        """
        moments = self.optimizer.state_dict()["state"]
        return {
            "judges": dict(self.judges.state_dict()),
            "optimizer": {str(number): moments[number] for number in moments},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of an adversary with the same parameters; the state is copied."""
        state = copy.deepcopy(dict(state))
        self.judges.load_state_dict(state["judges"])
        moments = {int(number): tensors for number, tensors in state["optimizer"].items()}
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": moments})

    def _shown(
        self, frames: Float[Tensor, "b c h w"], purpose: str, step: int, part: int
    ) -> Float[Tensor, "b c h w"]:
        if not self.params.augment:
            return frames
        rng = generator(self.seed, "vqgan", "adversary", step, part, purpose)
        share = self.ranks.share(len(frames) * self.ranks.count, together=FRAMES_TOGETHER)
        return diffaugment(
            frames, rng=rng, together=self.together, share=share.groups(self.together)
        )

    def _learn(
        self, real: Float[Tensor, "b c h w"], reconstructed: Float[Tensor, "b c h w"]
    ) -> dict[str, Tensor]:
        """Train on detached frames; give the figures."""
        self.judges.requires_grad_(True)
        real.requires_grad_(self.params.r1_weight > 0)
        judged = [self._judged(judge, real, reconstructed) for judge in self.each]
        terms = {
            name: torch.stack([one[name] for one, _ in judged]).mean() for name in judged[0][0]
        }
        loss = (
            terms["discriminator"]
            + 0.5 * self.params.r1_weight * terms.get("r1", 0.0)
            + self.params.lecam_weight * terms.get("lecam", 0.0)
        )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.ranks.average_gradients(self.judges.parameters())
        self._refuse_non_finite(self.ranks.mean(loss))
        self.optimizer.step()
        for judge, (_, history) in zip(self.each, judged, strict=True):
            judge.history.copy_(history)
        if self.params.pairs:
            terms["discriminator_pairs"] = judged[1][0]["discriminator"]
        return {name: term.detach() for name, term in terms.items()}

    def _judged(
        self,
        judge: "Judge",
        real: Float[Tensor, "b c h w"],
        reconstructed: Float[Tensor, "b c h w"],
    ) -> tuple[dict[str, Tensor], Float32[Tensor, "3"]]:
        """Give one judge's unweighted terms, and its history with these scores."""
        of_real, of_reconstructed = judge(real), judge(reconstructed)
        terms = {
            "discriminator": discriminator_loss(of_real, of_reconstructed),
            "discriminator_right": right_share(of_real, of_reconstructed),
        }
        if self.params.r1_weight > 0:
            terms["r1"] = r1_penalty(of_real, real)
        history = followed(
            judge.history, of_real.detach(), of_reconstructed.detach(), ranks=self.ranks
        )
        if self.params.lecam_weight > 0:
            terms["lecam"] = lecam_penalty(
                of_real,
                of_reconstructed,
                mean_real=history[0] / history[2],
                mean_generated=history[1] / history[2],
            )
        return terms, history

    def _refuse_non_finite(self, loss: Float[Tensor, ""]) -> None:
        gradients = [p.grad for p in self.judges.parameters() if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        if not torch.isfinite(loss + norm):
            raise NonFiniteError(
                f"the discriminator's loss ({loss.item():.3g}) or its gradient "
                f"({norm.item():.3g}) is not finite"
            )


class Judge(nn.Module):
    """A discriminator of frames or of pairs of frames, and LeCam's history of its scores."""

    history: Float32[Tensor, "3"]

    def __init__(self, params: DiscriminatorParams, *, frames: int) -> None:
        """Make an untrained judge of `frames` successive frames."""
        super().__init__()
        self.frames = frames
        self.discriminator = PatchDiscriminator(params.width, norm=params.norm, frames=frames)
        self.register_buffer("history", torch.zeros(3))

    def forward(self, frames: Float[Tensor, "b c h w"]) -> Float[Tensor, "n 1 hp wp"]:
        """Give scores of single frames (n = b), or of each pair of successive ones (n = b / 2)."""
        return self.discriminator(rearrange(frames, "(b t) c h w -> b (t c) h w", t=self.frames))
