"""Real clips are to become likelier than the model's own samples, and no critic is needed.

Source: Zheng et al. 2025, "Direct discriminative optimization", arXiv:2503.01103, eq. 9: the ratio
of the likelihoods of a model and of itself as it was before is the discriminator. A model of codes
in raster order has its likelihood exactly, so that nothing has to be sampled in training.
"""

import torch
import torch.nn.functional as F

from cvg.conditions.batch import Conditions
from cvg.finetuning.materials import Materials, as_in_sampling
from cvg.finetuning.own import UNTOLD
from cvg.seeding import generator
from cvg.tensors import Float, Int64, Tensor
from cvg.transformer.model import Transformer
from cvg.transformer.train import cross_entropies


def log_ratio(
    model: Transformer,
    before: Transformer,
    sequence: Int64[Tensor, "b t m"],
    conditions: Conditions,
) -> Float[Tensor, "b"]:
    """Give how much likelier clips are to a model than to the one before it, in nats.

    The first frame is not counted: it has no context here, as it has where clips are written.

    Raises:
        ValueError: the models are of parallel order, which has no likelihood.
    """
    if model.shape.order != "raster":
        raise ValueError("only transformers of raster order have a likelihood")
    codes = sequence[..., model.layout.num_given :]
    own = cross_entropies(model(sequence, conditions), codes)
    with torch.no_grad():
        others = cross_entropies(before(sequence, conditions), codes)
    return (others - own)[:, 1:].sum((1, 2))


def reward_loss(
    real: Float[Tensor, "b"], own: Float[Tensor, "b"], *, sharpness: float
) -> Float[Tensor, ""]:
    """Give the loss of a discriminator whose log-odds are log-ratios times `sharpness`."""
    return 0.5 * (F.softplus(-sharpness * real).mean() + F.softplus(sharpness * own).mean())


class Reward:
    """Gives the loss of real clips against own samples: the sum of those of the levels."""

    def __init__(self, materials: Materials) -> None:
        """Prepare clips; `materials.own` must be there."""
        self._materials = materials
        self._batches = materials.real_batches()

    def __call__(self, step: int, part: int) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """Give the loss, unweighted, and the mean log-ratios of both kinds of clips, in nats.

        Args:
            step: number of the step.
            part: number of the batch within the step.
        """
        materials = self._materials
        params, everything = materials.params, materials.own
        assert everything is not None
        rng = generator(materials.around.seed, "reward", step, part)
        share = materials.around.runtime.ranks.share(params.batch_size)
        batch = self._batches.random(params.batch_size, rng=rng).take(share.rows)
        own = everything.random(share, rng=rng)
        kinds = (
            (materials.codes_of(batch), materials.told_of_real(batch, but=UNTOLD)),
            (own.codes, materials.told_of_own(own)),
        )
        losses, figures = [], {}
        for level, model in materials.tuned.items():
            before = materials.models.transformers[level].model
            with as_in_sampling([model]), materials.around.runtime.autocast():
                real_gain, own_gain = (
                    log_ratio(
                        model,
                        before,
                        model.layout.to_sequence(codes).to(materials.device),
                        told[level],
                    )
                    for codes, told in kinds
                )
            losses.append(reward_loss(real_gain, own_gain, sharpness=params.sharpness))
            figures[f"gain_real_{level}"] = real_gain.mean().detach()
            figures[f"gain_own_{level}"] = own_gain.mean().detach()
        return torch.stack(losses).sum(), figures
