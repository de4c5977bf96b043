"""What a verdict depends on, by gradient; and what it does not."""

import pytest
import torch

from cvg.critic.judge import critic_loss, judge
from cvg.critic.model import Critic, CriticShape, distances

SHAPE = {
    "frames": 5,
    "channels": 3,
    "size": 16,
    "cells": 4,
    "width": 16,
    "layers": 2,
    "heads": 2,
    "dropout": 0.0,
    "picture_dropout": 0.0,
}


@pytest.fixture
def make(toys):
    def make(**changes):
        critic = Critic(CriticShape(**(SHAPE | changes))).double()
        toys.randomise(critic, 0)
        return critic.eval()

    return make


@pytest.fixture
def clips(toys):
    return torch.randn(3, 5, 3, 16, 16, generator=toys.rng(), dtype=torch.float64)


def test_the_verdict_depends_on_every_frame_and_on_no_other_clip(make, clips):
    critic = make()
    clips.requires_grad_()
    (gradient,) = torch.autograd.grad(critic(clips).clips[1], clips)
    assert (gradient[1].flatten(1).norm(dim=1) > 0).all()
    assert gradient[0].norm() == gradient[2].norm() == 0


def test_the_verdict_depends_on_the_order_of_frames(make, clips):
    critic = make()
    shuffled = clips[:, [0, 2, 1, 3, 4]]
    assert not torch.allclose(critic(clips).clips, critic(shuffled).clips, atol=1e-4)


def test_a_critic_of_one_frame_cannot_know_the_order(make, clips):
    critic = make(frames=1)
    scores = judge(critic, clips, None).clips
    assert scores.shape == (3, 5)
    order = [3, 0, 4, 1, 2]
    assert torch.allclose(judge(critic, clips[:, order], None).clips, scores[:, order])
    assert judge(critic, clips, None).pairs.shape == (3, 5, 0)


def test_before_training_nothing_is_known():
    critic = Critic(CriticShape(**SHAPE))
    judged = critic(torch.randn(2, 5, 3, 16, 16))
    assert judged.clips.abs().max() == judged.pairs.abs().max() == 0


def test_layers_begin_differently():
    torch.manual_seed(0)
    first, second = (layer.linear1.weight for layer in Critic(CriticShape(**SHAPE)).encoder.layers)
    assert not torch.equal(first, second)


def test_longer_clips_are_judged_window_by_window(make, toys):
    critic = make()
    clips = torch.randn(2, 8, 3, 16, 16, generator=toys.rng(), dtype=torch.float64)
    judged = judge(critic, clips, None)
    for start in range(4):
        alone = critic(clips[:, start : start + 5])
        assert torch.allclose(judged.clips[:, start], alone.clips)
        assert torch.allclose(judged.pairs[:, start], alone.pairs)
    with pytest.raises(ValueError, match="clips of 4 frames; the critic looks at 5"):
        judge(critic, clips[:, :4], None)


def test_it_is_told_of_each_clip_its_own_condition(toys, make, clips):
    words = toys.VOCABULARY
    critic = make(num_conditions=words.size, condition_length=words.length)
    told = toys.gathered(toys.toy_conditions(), 7)
    scores = judge(critic, clips, told).clips
    others = told.__class__(prefix=told.prefix[[1, 0, 2]])
    changed = judge(critic, clips, others).clips
    assert not torch.isclose(scores[:2], changed[:2], atol=1e-4).any()
    assert torch.allclose(scores[2], changed[2])


def test_padding_of_the_condition_is_not_seen(toys, make, clips):
    words = toys.VOCABULARY
    critic = make(num_conditions=words.size, condition_length=words.length)
    told = toys.gathered(toys.toy_conditions(), 7)
    scores = judge(critic, clips, told).clips
    with torch.no_grad():
        critic.condition.table.weight[0] += 1.0  # the number of padding
    assert torch.allclose(judge(critic, clips, told).clips, scores)


@pytest.mark.parametrize(("size", "cells"), [(4, 4), (8, 4), (16, 4), (32, 4), (64, 4), (16, 2)])
def test_the_stem_comes_down_to_the_cells(size, cells):
    critic = Critic(CriticShape(**(SHAPE | {"size": size, "cells": cells})))
    assert critic.stem(torch.zeros(1, 6, size, size)).shape == (1, 16, cells, cells)


def test_sizes_that_do_not_halve_down_to_the_cells_are_refused():
    with pytest.raises(ValueError, match="24 is not 4 times a power of 2"):
        Critic(CriticShape(**(SHAPE | {"size": 24})))


def test_the_loss_by_hand(toys, make, clips):
    from cvg.critic.examples import Examples

    real = torch.tensor([True, False, False])
    pairs = torch.tensor([[True] * 4, [True, True, False, False], [False] * 4])
    told = toys.gathered(toys.toy_conditions(), 7)
    examples = Examples(pictures=clips, conditions=told, real=real, pairs=pairs)
    judged = judge(make(), clips, None)
    result = critic_loss(judged, examples, pair_weight=0.3)
    chances = judged.clips[:, 0].float().sigmoid()
    right = torch.where(real, chances, 1 - chances)
    of_pairs = judged.pairs[:, 0].float().sigmoid()
    right_pairs = torch.where(pairs, of_pairs, 1 - of_pairs)
    expected = -right.log().mean() - 0.3 * right_pairs.log().mean()
    assert result.loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_distances_are_those_of_another_implementation(clips):
    found = distances(clips, 4)
    patches = clips.unflatten(4, (4, 4)).unflatten(3, (4, 4))  # b t c h r w s
    points = patches.permute(0, 3, 5, 1, 2, 4, 6).flatten(4).flatten(1, 2)  # b n t values
    means = torch.cdist(points, points).square() / points.shape[-1]
    for frame in range(5):
        between = found[:, frame, :, 4 - frame : 9 - frame]  # to frames 0 to 4
        expected = torch.log1p(means[:, :, frame] / 0.01)
        assert torch.allclose(between, expected, atol=1e-6)
        assert (found[:, frame].sum(-1) - between.sum(-1)).abs().max() < 1e-9


def test_hidden_pictures_leave_distances_alone(make, clips):
    critic = make(picture_dropout=0.999999)
    tinted = clips + 0.5  # other pictures, as far from each other
    still = clips[:, :1].expand_as(clips)
    critic.train()
    assert torch.allclose(critic(tinted).clips, critic(clips).clips)
    assert not torch.allclose(critic(still).clips, critic(clips).clips, atol=1e-3)
    critic.eval()
    assert not torch.allclose(critic(tinted).clips, critic(clips).clips, atol=1e-3)


def test_pictures_are_hidden_clip_by_clip_in_the_share_that_is_asked(make, clips):
    critic = make(picture_dropout=0.25).train()
    one = clips[:1].expand(400, -1, -1, -1, -1)
    scores = critic(one).clips
    shown = torch.isclose(scores, critic.eval()(clips[:1]).clips)
    assert shown.float().mean().item() == pytest.approx(0.75, abs=0.07)
    hidden = scores[~shown]
    assert torch.allclose(hidden, hidden[:1])
