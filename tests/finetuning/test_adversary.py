"""The critic in the loop: what it learns, whom it reaches, and what is done when it fails."""

import math
from dataclasses import replace

import pytest
import torch

from cvg.finetuning.adversary import Adversary, Shown
from cvg.finetuning.watch import LONG, MOST_RESTARTS, Weight
from cvg.training.runtime import Runtime
from cvg.training.weights import hash_weights


@pytest.fixture
def shown(toys, critic):
    """Clips that differ in brightness alone."""
    shape = critic.model.shape
    told = toys.CONDITIONING.gather(toys.toy_conditions(), frames=1)

    def make(level, seed=0):
        noise = torch.randn(
            3, shape.frames, shape.channels, shape.size, shape.size, generator=toys.rng(seed)
        )
        return Shown(pictures=level + 0.1 * noise, conditions=told)

    return make


@pytest.fixture
def make(critic, settings):
    def make(rate=1e-3, **changes):
        params = settings(**changes).finetune
        weight = Weight(params.weight, back_off=params.back_off)
        runtime = Runtime(device=torch.device("cpu"))
        return Adversary(critic.model, params, weight, runtime=runtime, learning_rate=rate)

    return make


def test_it_learns_to_tell_apart_and_the_pretrained_one_stays(make, shown, critic):
    before = hash_weights(critic.model)
    adversary = make(rate=3e-3)
    losses = [
        adversary.learn(shown(0.5, step), shown(-0.5, step))["critic"].item() for step in range(30)
    ]
    assert losses[-1] < 0.5 * losses[0]
    assert adversary.look() > 0.7
    assert hash_weights(critic.model) == before


def test_the_loss_of_the_transformers_reaches_the_pictures_and_not_the_critic(make, shown):
    adversary = make()
    clips = shown(0.5)
    clips.pictures.requires_grad_()
    adversary.loss(clips).backward()
    assert clips.pictures.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in adversary.critic.parameters())


def test_where_the_last_frame_is_in_question_the_others_do_not_count(make, shown):
    adversary = make()
    clips = replace(shown(0.5), last_pair=True)
    assert torch.allclose(
        adversary.loss(clips),
        torch.nn.functional.softplus(
            -adversary.critic(clips.pictures, clips.conditions).pairs[:, -1]
        ).mean(),
    )
    adversary.learn(clips, replace(shown(-0.5), last_pair=True))
    assert math.isnan(adversary.look())  # such scores are not mixed with those of whole clips


def test_to_be_taken_for_real_costs_less(make, shown):
    adversary = make(rate=3e-3)
    for step in range(30):
        adversary.learn(shown(0.5, step), shown(-0.5, step))
    assert adversary.loss(shown(0.5)) < adversary.loss(shown(-0.5))


@pytest.mark.parametrize("critic", ["pixels", "codes"], indirect=True)
@pytest.mark.parametrize("name", ["r1", "lecam"])
def test_terms_of_no_weight_are_not_computed_and_others_change_the_step(make, shown, name):
    without = make(r1_weight=0.0, lecam_weight=0.0)
    held = make(**{"r1_weight": 0.0, "lecam_weight": 0.0} | {f"{name}_weight": 10.0})
    assert name not in without.learn(shown(0.5), shown(-0.5))
    assert name in held.learn(shown(0.5), shown(-0.5))
    for adversary in (without, held):
        adversary.learn(shown(0.5), shown(-0.5))
    assert hash_weights(without.critic) != hash_weights(held.critic)


def test_a_number_that_is_not_finite_changes_no_weight_and_is_said(make, shown, capsys):
    adversary = make()
    pretrained = hash_weights(adversary.critic)
    adversary.learn(shown(0.5), shown(-0.5))
    assert hash_weights(adversary.critic) != pretrained
    assert adversary.learn(shown(math.nan), shown(-0.5)) == {}
    assert hash_weights(adversary.critic) == pretrained  # it begins anew
    said = capsys.readouterr().err
    assert "its loss is nan, the norm of its gradient nan; it begins anew, as pretrained" in said
    for _ in range(MOST_RESTARTS):
        assert not adversary.watch.stopped
        adversary.learn(shown(math.nan), shown(-0.5))
    assert adversary.watch.stopped
    assert "still of no use after 2 new beginnings" in capsys.readouterr().err


def test_a_critic_that_wins_for_long_loses_weight(make, shown, capsys):
    adversary = make(rate=3e-3, weight=0.4)
    for step in range(60):
        adversary.learn(shown(2.0, step), shown(-2.0, step))
    adversary._real, adversary._other = adversary._real[-9:], adversary._other[-9:]
    assert [adversary.look() for _ in range(LONG)] == [1.0] * LONG
    assert adversary.weight.value == pytest.approx(0.2)
    assert "the critic tells all clips apart" in capsys.readouterr().err


def test_a_critic_that_tells_nothing_begins_anew_and_in_the_end_stops(make, shown, capsys):
    adversary = make()
    for _ in range((MOST_RESTARTS + 1) * LONG):
        adversary.learn(shown(0.5), shown(0.5))  # the same clips as real and as others
        assert adversary.look() == 0.5
    assert adversary.watch.stopped
    assert "of no use: the area under its curve is 0.50" in capsys.readouterr().err


def test_it_goes_on_where_it_was_interrupted(make, shown):
    def learn(adversary, steps):
        for step in steps:
            adversary.learn(shown(0.5, step), shown(-0.5, step + 50))

    whole, first, resumed = make(lecam_weight=0.5), make(lecam_weight=0.5), make(lecam_weight=0.5)
    learn(whole, range(6))
    learn(first, range(3))
    resumed.load_state_dict(first.state_dict())
    learn(resumed, range(3, 6))
    assert hash_weights(resumed.critic) == hash_weights(whole.critic)
    assert resumed.look() == whole.look()
