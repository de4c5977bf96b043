"""One training step: which terms, with which weights, reaching whom."""

import pytest
import torch
from torch.nn.functional import l1_loss, mse_loss

from cvg.seeding import seed_everything
from cvg.training.finite import NonFiniteError
from cvg.training.runtime import Runtime
from cvg.training.share import of_all
from cvg.vqgan.adversary import Adversary
from cvg.vqgan.step import VqganStep

RUNTIME = Runtime(device=torch.device("cpu"))


def make_step(vqgan, params, **changes):
    seed_everything(0, "test")
    params = params.model_copy(update=changes)
    adversary = (
        Adversary(params, learning_rate=1e-3, seed=0, device=torch.device("cpu"))
        if params.discriminator.enabled
        else None
    )
    return VqganStep(
        vqgan.train(), params, comparator=None, adversary=adversary, runtime=RUNTIME, seed=0
    )


@pytest.fixture
def adversarial(params):
    """Settings with a discriminator whose gradient is used from step 2 on."""
    settings = params.discriminator.model_copy(
        update={"enabled": True, "width": 4, "start_step": 2, "weight": 0.5, "max_adaptive": 0.25}
    )
    return params.model_copy(update={"discriminator": settings})


def decoder_gradient(vqgan, result):
    return torch.autograd.grad(result.loss, vqgan.last_layer, retain_graph=True)[0]


def test_the_loss_is_the_weighted_sum_of_its_figures(vqgan, params, frames):
    weights = {"l1_weight": 0.3, "l2_weight": 0.7, "commitment_weight": 0.25, "bottom_drop": 0.0}
    result = make_step(vqgan, params, **weights)(frames, 0)
    figures = {name: value.item() for name, value in result.figures.items()}
    expected = (
        0.3 * figures["l1"]
        + 0.7 * figures["l2"]
        + 0.25 * (figures["commitment_top"] + figures["commitment_bottom"])
    )
    assert result.loss.item() == pytest.approx(expected)
    assert set(figures) == {
        "l1",
        "l2",
        *(f"{name}_{level}" for name in ("commitment", "restarted") for level in ("top", "bottom")),
    }


@pytest.mark.parametrize(("share", "alone"), [(0.0, False), (1.0, True)])
def test_the_dropped_share_is_decoded_from_the_top_alone(vqgan, params, frames, share, alone):
    with torch.no_grad():
        shown = vqgan(frames)
        expected = vqgan.decode({"top": shown.codes["top"]}) if alone else shown.frames
    figures = make_step(vqgan, params, bottom_drop=share)(frames, 0).figures
    assert figures["l2"].item() == pytest.approx(mse_loss(expected, frames).item(), rel=1e-5)
    assert figures["l1"].item() == pytest.approx(l1_loss(expected, frames).item(), rel=1e-5)


def test_the_comparator_sees_its_share_of_the_batch(vqgan, params, frames):
    seen = []

    def comparator(reconstructed, real):
        seen.append((reconstructed.shape[0], real))
        return (reconstructed - real).abs().sum()

    step = make_step(
        vqgan,
        params,
        batch_size=len(frames),
        comparator_share=0.5,
        comparator_weight=10.0,
        l1_weight=0.0,
        l2_weight=1.0,
    )
    step.comparator = comparator
    step.params = step.params.model_copy(update={"commitment_weight": 0.0})
    result = step(frames, 0)
    assert seen[0][0] == 3
    assert torch.equal(seen[0][1], frames[:3])
    figures = result.figures
    expected = figures["l2"].item() + 10 * figures["perceptual"].item()
    assert result.loss.item() == pytest.approx(expected)


def test_the_adversary_reaches_the_decoder_only_from_its_start_on(vqgan, adversarial, frames):
    with_critic = make_step(vqgan, adversarial)
    without = make_step(vqgan, adversarial)
    without.adversary = None
    state = {name: tensor.clone() for name, tensor in vqgan.state_dict().items()}
    for number in range(4):
        gradients = []
        for step in (without, with_critic):
            vqgan.load_state_dict(state)
            gradients.append(decoder_gradient(vqgan, step(frames, number)))
        same = torch.equal(*gradients)
        assert same is (number < 2), number


def test_a_picture_that_is_not_finite_is_told_with_its_terms_and_teaches_no_judge(
    vqgan, adversarial, frames
):
    step = make_step(vqgan, adversarial)
    step.comparator = lambda reconstructed, real: torch.tensor(float("inf"))
    before = [p.detach().clone() for p in step.adversary.judges.parameters()]
    with pytest.raises(NonFiniteError, match=r"loss of the picture .*\(l1 .*, perceptual inf, "):
        step(frames, 0)
    after = step.adversary.judges.parameters()
    assert all(torch.equal(*pair) for pair in zip(before, after, strict=True))


def test_the_discriminator_does_not_train_the_vqgan(vqgan, adversarial, frames):
    result = make_step(vqgan, adversarial)(frames, 0)
    assert all(parameter.grad is None for parameter in vqgan.parameters())
    result.loss.backward()
    assert vqgan.last_layer.grad.norm() > 0


def test_the_same_step_drops_the_same_samples(vqgan, params, frames):
    state = {name: tensor.clone() for name, tensor in vqgan.state_dict().items()}
    losses = []
    for step, part in ((3, 0), (3, 0), (4, 0), (3, 1)):
        vqgan.load_state_dict(state)
        losses.append(make_step(vqgan, params, bottom_drop=0.5)(frames, step, part).loss.item())
    assert losses[0] == losses[1]
    assert len(set(losses)) == 3


def test_dropped_samples_of_three_levels_end_at_either_coarser_one(toys, params):
    vqgan = toys.toy_vqgan(levels=("top", "middle", "bottom"))
    step = make_step(vqgan, params, bottom_drop=0.5)
    depths = torch.cat([step._depths(of_all(100), number, 0) for number in range(10)])
    shares = torch.bincount(depths, minlength=4) / len(depths)
    assert shares.tolist() == pytest.approx([0, 0.25, 0.25, 0.5], abs=0.05)


def test_a_single_level_is_never_dropped(toys, params, frames):
    step = make_step(toys.toy_vqgan(levels=("bottom",)), params, bottom_drop=1.0)
    assert step._depths(of_all(50), 0, 0).unique().tolist() == [1]
    assert torch.isfinite(step(frames, 0).loss)


def test_the_frames_of_a_pair_are_decoded_from_equally_many_levels(vqgan, adversarial):
    settings = adversarial.discriminator.model_copy(update={"pairs": True})
    step = make_step(vqgan, adversarial, discriminator=settings, bottom_drop=0.5)
    depths = step._depths(of_all(100), 0, 0).unflatten(0, (-1, 2))
    assert torch.equal(depths[:, 0], depths[:, 1])
    assert set(depths.flatten().tolist()) == {1, 2}
