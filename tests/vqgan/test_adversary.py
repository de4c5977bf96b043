"""The adversary: what it learns from, whom it reaches, and that it can go on where it was."""

import copy

import pytest
import torch

from cvg.seeding import seed_everything
from cvg.training.adversarial import lecam_penalty, r1_penalty
from cvg.training.finite import NonFiniteError
from cvg.vqgan.adversary import Adversary
from cvg.vqgan.discriminator import (
    adversarial_loss,
    discriminator_loss,
    right_share,
)

START = 2  # the first step whose gradient reaches the decoder
EVERYTHING = {"pairs": True, "r1_weight": 0.5, "lecam_weight": 0.1, "augment": True}


class Decoder:
    """The smallest decoder: frames times one number for each channel."""

    def __init__(self):
        self.last_layer = torch.full((3, 1, 1), 0.5, requires_grad=True)

    def __call__(self, frames):
        return frames * self.last_layer

    def judged_by(self, adversary, frames, step, **changes):
        shown = self(frames)
        picture = (shown - frames).square().mean()
        return adversary(frames, shown, picture, last_layer=self.last_layer, step=step, **changes)


@pytest.fixture
def make(params):
    """Make an adversary with given settings."""

    def make(*, seed=0, learning_rate=1e-3, **changes):
        settings = {"width": 8, "norm": "spectral", "start_step": START, "weight": 0.5}
        settings |= {"pairs": False, "r1_weight": 0.0, "lecam_weight": 0.0, "augment": False}
        discriminator = params.discriminator.model_copy(update=settings | changes)
        seed_everything(0, "test")
        return Adversary(
            params.model_copy(update={"discriminator": discriminator}),
            learning_rate=learning_rate,
            seed=seed,
            device=torch.device("cpu"),
        )

    return make


def frozen(adversary):
    """A copy that judges without learning: its spectral norms stand still."""
    return copy.deepcopy(adversary.judges).eval()


def weights(adversary):
    return {name: tensor.clone() for name, tensor in adversary.judges.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_the_first_figures_are_those_of_the_untrained_judge(make, frames):
    adversary = make(norm="group")
    (judge,) = frozen(adversary)
    _, figures = Decoder().judged_by(adversary, frames, 0)
    real, reconstructed = judge(frames), judge(0.5 * frames)
    assert set(figures) == {"discriminator", "discriminator_right"}
    assert figures["discriminator"].item() == discriminator_loss(real, reconstructed).item()
    assert figures["discriminator_right"].item() == right_share(real, reconstructed).item()
    assert not any(figure.requires_grad for figure in figures.values())


@pytest.mark.parametrize("norm", ["spectral", "group"])
@pytest.mark.parametrize("changes", [{}, EVERYTHING])
def test_it_learns_to_tell_real_from_reconstructed(make, frames, norm, changes):
    adversary = make(
        norm=norm, learning_rate=1e-2, start_step=100, **(changes | {"augment": False})
    )
    figures = [Decoder().judged_by(adversary, frames, step)[1] for step in range(20)]
    assert figures[-1]["discriminator"] < 0.9 * figures[0]["discriminator"]
    assert figures[-1]["discriminator_right"] > 0.6


@pytest.mark.parametrize("changes", [{}, EVERYTHING, EVERYTHING | {"norm": "group"}])
def test_its_gradient_reaches_the_decoder_only_from_the_start_on(make, frames, changes):
    adversary, decoder = make(**changes), Decoder()
    for step in range(2 * START):
        before = weights(adversary)
        loss, figures = decoder.judged_by(adversary, frames, step)
        assert not same(before, weights(adversary))
        assert loss.requires_grad is (step >= START)
        assert ("adversarial" in figures) is (step >= START)
        assert decoder.last_layer.grad is None
        if step < START:
            assert loss.item() == 0
    loss.backward()
    assert decoder.last_layer.grad.norm() > 0


def test_the_decoders_loss_is_weighted_capped_and_leaves_the_judges_alone(make, frames):
    adversary, decoder = make(norm="group", weight=0.3, max_adaptive=0.25, pairs=True), Decoder()
    loss, figures = decoder.judged_by(adversary, frames, START)
    each = [adversarial_loss(judge(decoder(frames))).item() for judge in frozen(adversary)]
    assert figures["adversarial"].item() == pytest.approx(sum(each) / 2, rel=1e-5)
    assert 0 < figures["adaptive_factor"].item() <= 0.25
    expected = 0.3 * figures["adaptive_factor"].item() * figures["adversarial"].item()
    assert loss.item() == pytest.approx(expected)
    gradients = [parameter.grad.clone() for parameter in adversary.judges.parameters()]
    loss.backward()
    after = [parameter.grad for parameter in adversary.judges.parameters()]
    assert all(torch.equal(old, new) for old, new in zip(gradients, after, strict=True))


def test_the_adaptive_factor_balances_the_picture_and_all_judges_together(make, frames):
    adversary, decoder = make(norm="group", max_adaptive=1e9, weight=1.0, pairs=True), Decoder()
    loss, _ = decoder.judged_by(adversary, frames, START)
    picture = (decoder(frames) - frames).square().mean()
    of_picture, of_loss = (
        torch.autograd.grad(one, decoder.last_layer)[0].norm().item() for one in (picture, loss)
    )
    assert of_loss == pytest.approx(of_picture, rel=1e-3)


def test_a_judge_of_pairs_notices_flicker_that_single_frames_do_not_show(make, frames):
    # Real: pairs of the same frame twice. Reconstructed: the same frames, paired with others.
    still = frames.repeat_interleave(2, dim=0)
    flicker = still.roll(1, dims=0)
    adversary = make(pairs=True, learning_rate=1e-2, start_step=1000)
    last_layer = torch.ones(1, requires_grad=True)
    for step in range(25):
        _, figures = adversary(still, flicker, last_layer.sum(), last_layer=last_layer, step=step)
    single, pairs = frozen(adversary)
    assert discriminator_loss(single(still), single(flicker)).item() == pytest.approx(1.0, abs=0.05)
    assert discriminator_loss(pairs(still), pairs(flicker)).item() < 0.7
    mean = figures["discriminator"].item()
    assert figures["discriminator_pairs"].item() < mean < 1.0


def test_pairs_are_the_rows_2i_and_2i_plus_1(make, frames):
    _, pairs = frozen(make(pairs=True))
    scores = pairs(frames)
    assert len(scores) == 3
    changed = frames.clone()
    changed[3] += 0.5
    moved = (pairs(changed) - scores).abs().amax((1, 2, 3))
    assert moved[1] > 1e-4
    assert moved[0] == moved[2] == 0


@pytest.mark.parametrize("pairs", [False, True])
def test_r1_flattens_the_judges_at_real_frames(make, frames, pairs):
    steep = {}
    for weight in (1e-9, 10.0):
        adversary = make(
            r1_weight=weight, pairs=pairs, norm="group", learning_rate=1e-2, start_step=100
        )
        for step in range(15):
            _, figures = Decoder().judged_by(adversary, frames, step)
        steep[weight] = figures["r1"].item()
    assert 0 < steep[10.0] < 0.5 * steep[1e-9]


def test_terms_of_no_weight_are_not_computed(make, frames):
    _, figures = Decoder().judged_by(make(), frames, 0)
    assert not {"r1", "lecam"} & set(figures)
    _, figures = Decoder().judged_by(make(**EVERYTHING), frames, 0)
    assert {"r1", "lecam"} <= set(figures)


def test_the_gradient_is_that_of_the_weighted_sum_with_r1_at_half_its_weight(make, frames):
    adversary = make(norm="group", r1_weight=3.0, lecam_weight=0.7)
    (judge,) = copy.deepcopy(adversary.each)
    Decoder().judged_by(adversary, frames, 0)
    shown = frames.clone().requires_grad_()
    real, reconstructed = judge(shown), judge(0.5 * frames)
    lecam = lecam_penalty(
        real,
        reconstructed,
        mean_real=real.mean().detach(),
        mean_generated=reconstructed.mean().detach(),
    )
    loss = discriminator_loss(real, reconstructed) + 1.5 * r1_penalty(real, shown) + 0.7 * lecam
    loss.backward()
    for mine, its in zip(judge.parameters(), adversary.judges.parameters(), strict=True):
        assert torch.allclose(mine.grad, its.grad, rtol=1e-4, atol=1e-6)


def test_what_is_shown_is_changed_anew_for_each_purpose_step_and_part(make, frames, monkeypatch):
    keys = []

    def spy(seed, *purpose):
        keys.append((seed, *purpose))
        return torch.Generator().manual_seed(len(keys))

    monkeypatch.setattr("cvg.vqgan.adversary.generator", spy)
    adversary = make(augment=True, start_step=0, seed=7)
    for step, part in ((0, 0), (0, 1), (1, 0)):
        Decoder().judged_by(adversary, frames, step, part=part)
    assert len(keys) == len(set(keys)) == 9
    assert {key[0] for key in keys} == {7}


def test_real_and_reconstructed_frames_are_changed_both(make, frames, monkeypatch):
    changed = []

    def spy(shown, *, rng, together, share):
        changed.append((shown.detach().clone(), together))
        return shown

    monkeypatch.setattr("cvg.vqgan.adversary.diffaugment", spy)
    Decoder().judged_by(make(augment=True, pairs=True, start_step=0), frames, 0)
    assert [together for _, together in changed] == [2, 2, 2]
    for (shown, _), expected in zip(changed, (1.0, 0.5, 0.5), strict=True):
        assert torch.equal(shown, expected * frames)


def test_the_seed_decides_and_the_global_generator_is_not_drawn_from(make, frames):
    def run(seed):
        adversary = make(**EVERYTHING, seed=seed)
        state = torch.get_rng_state()
        for step in range(3):
            Decoder().judged_by(adversary, frames, step)
        assert torch.equal(torch.get_rng_state(), state)
        return weights(adversary)

    assert same(run(0), run(0))
    assert not same(run(0), run(1))


@pytest.mark.parametrize("changes", [{}, EVERYTHING, EVERYTHING | {"norm": "group"}])
def test_a_run_that_goes_on_from_a_state_ends_in_the_same_bits(make, toys, changes):
    batches = [toys.toy_frames(6, seed=number) for number in range(6)]

    def run(adversary, steps):
        return [Decoder().judged_by(adversary, batches[step], step)[0].item() for step in steps]

    whole = make(**changes)
    losses = run(whole, range(6))
    first = make(**changes)
    run(first, range(3))
    state = copy.deepcopy(first.state_dict())
    second = make(**changes)
    run(second, range(2))  # whatever it was before is replaced
    second.load_state_dict(state)
    assert run(second, range(3, 6)) == losses[3:]
    assert same(weights(second), weights(whole))
    # The state was copied: going on did not change it.
    third = make(**changes)
    third.load_state_dict(state)
    assert run(third, range(3, 6)) == losses[3:]


def test_a_state_is_nested_dicts_of_tensors_with_keys_that_are_text(make, frames):
    adversary = make(**EVERYTHING)
    Decoder().judged_by(adversary, frames, 0)

    def leaves(node):
        if isinstance(node, torch.Tensor):
            return 1
        assert type(node) is dict
        assert all(type(key) is str for key in node)
        return sum(leaves(child) for child in node.values())

    assert leaves(adversary.state_dict()) > 20


@pytest.mark.parametrize("changes", [{}, EVERYTHING | {"norm": "group"}])
@pytest.mark.parametrize("bad", ["real", "reconstructed"])
def test_a_loss_that_is_not_finite_leaves_the_judges_as_they_were(make, frames, changes, bad):
    adversary, decoder = make(**changes), Decoder()
    for step in range(2):
        decoder.judged_by(adversary, frames, step)
    adversary.judges.eval()  # so that the vectors of the spectral norms stand still too
    state = copy.deepcopy(adversary.state_dict())
    broken = {"real": frames.clone(), "reconstructed": decoder(frames).detach()}
    broken[bad][1, 0, 3, 3] = float("nan")
    with pytest.raises(NonFiniteError, match="discriminator's loss"):
        adversary(
            broken["real"],
            broken["reconstructed"],
            decoder.last_layer.sum(),
            last_layer=decoder.last_layer,
            step=2,
        )
    now = adversary.state_dict()
    assert same(now["judges"], state["judges"])
    for number, moments in state["optimizer"].items():
        assert same(now["optimizer"][number], moments)
    decoder.judged_by(adversary, frames, 3)
    assert all(torch.isfinite(tensor).all() for tensor in weights(adversary).values())


def test_a_gradient_that_is_not_finite_is_refused_too(make, frames):
    adversary = make(norm="group")
    before = weights(adversary)
    kernel = adversary.each[0].discriminator.layers[0].weight
    kernel.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(NonFiniteError, match="gradient"):
        Decoder().judged_by(adversary, frames, 0)
    assert same(weights(adversary), before)


def test_it_computes_in_float32_under_autocast(make, frames):
    plain, under = make(**EVERYTHING), make(**EVERYTHING)
    for step in range(START + 1):
        expected, figures = Decoder().judged_by(plain, frames, step)
        with torch.autocast("cpu", torch.bfloat16):
            loss, others = Decoder().judged_by(under, frames, step)
        assert loss.dtype == torch.float32
        assert loss.item() == expected.item()
        assert {name: value.item() for name, value in figures.items()} == {
            name: value.item() for name, value in others.items()
        }
    assert same(weights(plain), weights(under))


def test_frames_of_half_the_precision_are_taken(make, frames):
    adversary, decoder = make(start_step=0), Decoder()
    shown = decoder(frames).bfloat16()
    loss, _ = adversary(
        frames.bfloat16(), shown, shown.square().mean(), last_layer=decoder.last_layer, step=0
    )
    loss.backward()
    assert loss.dtype == torch.float32
    assert torch.isfinite(decoder.last_layer.grad).all()


def test_a_judge_keeps_the_history_of_its_scores(make, frames):
    adversary = make(lecam_weight=0.1, norm="group")
    (before,) = frozen(adversary)
    Decoder().judged_by(adversary, frames, 0)
    kept = adversary.each[0].history
    assert (kept[0] / kept[2]).item() == pytest.approx(before(frames).mean().item(), rel=1e-4)
