"""Best of n: which candidate goes on, and that all else is as without a choice."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cvg.conditions.condition import Condition
from cvg.critic.model import Critic, CriticShape, Judgement
from cvg.critic.score import score
from cvg.critic.sight import Sight
from cvg.critic.store import TrainedCritic
from cvg.errors import UserError
from cvg.frames.pixels import changes
from cvg.sampling.decode import decode_frames
from cvg.sampling.models import Models
from cvg.sampling.rank import repeat, roll_out_best
from cvg.sampling.rollout import Task, roll_out

NAMES = ("a.mp4#0", "b.mp4#4", "c.mp4#9")
FRAMES, CONTEXT = 9, 2


class Taste(Critic):
    """Likes clips by what is seen of them, and counts how often it is asked."""

    def __init__(self, channels, *, frames=3, sign=1.0):
        super().__init__(
            CriticShape(
                frames=frames,
                channels=channels,
                size=4,
                cells=4,
                width=8,
                layers=1,
                heads=1,
                dropout=0.0,
                picture_dropout=0.0,
            )
        )
        self.sign, self.asked = sign, 0

    def forward(self, pictures, conditions=None):
        self.asked += len(pictures)
        liking = self.sign * pictures.double().mean((1, 2, 3, 4))
        return Judgement(clips=liking, pairs=pictures.new_zeros(len(pictures), 2))


@pytest.fixture
def make(toys, transformers):
    """Models with a critic of a taste."""

    def make(**taste):
        model = Taste(2 * toys.CODE_DIM, **taste)
        critic = TrainedCritic(
            model=model, input="codes", conditioning=toys.CONDITIONING, vqgan_hash="toy"
        )
        return Models(
            vqgan=toys.toy_vqgan(), vqgan_hash="toy", transformers=transformers, critic=critic
        )

    return make


@pytest.fixture
def task(toys):
    codes = toys.all_codes(6, seed=3)
    context = {
        level: torch.from_numpy(array).reshape(3, 2, *array.shape[1:])
        for level, array in codes.items()
    }
    return Task(names=NAMES, conditions=toys.toy_conditions(FRAMES), frames=FRAMES, context=context)


def stacked(frames):
    frames = list(frames)
    return {level: torch.stack([frame[level] for frame in frames], 1) for level in frames[0]}


def best(models, task, settings, **changes):
    chosen = settings.model_copy(
        update={"best_of": 3, "best_every": 2, "motion_weight": 0.0} | changes
    )
    return stacked(roll_out_best(models, task, chosen, seed=0))


def alone(models, task, settings):
    return stacked(roll_out(models.transformers, task, settings, seed=0))


def liking(models, task, written):
    sight = Sight(vqgan=models.vqgan, input="codes")
    seen = {level: torch.cat([task.context[level], written[level]], 1) for level in written}
    return score(models.critic, sight, seen, task.conditions)


def same(one, other):
    return all(torch.equal(one[level], other[level]) for level in one)


def test_best_of_one_is_what_is_written_without_a_critic(make, task, settings):
    models = make()
    assert same(best(models, task, settings, best_of=1), alone(models, task, settings))
    assert models.critic.model.asked == 0


def test_a_critic_without_a_preference_leaves_the_first_candidate(make, task, settings):
    models = make(sign=0.0)
    assert same(best(models, task, settings), alone(models, task, settings))


def test_of_whole_videos_the_one_that_is_liked_best_is_taken(make, task, settings):
    models = make()
    found = best(models, task, settings, best_every=FRAMES)
    candidates = [
        alone(models, replace(task, names=[f"{name}{turn}" for name in NAMES]), settings)
        for turn in ("", " (1)", " (2)")
    ]
    likings = torch.stack([liking(models, task, one) for one in candidates])
    assert len(set(likings.argmax(0).tolist())) > 1  # so that choosing means something
    for video, turn in enumerate(likings.argmax(0).tolist()):
        chosen = {level: grids[[video]] for level, grids in candidates[turn].items()}
        assert same({level: grids[[video]] for level, grids in found.items()}, chosen)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_choosing_block_by_block_leads_where_it_is_liked(make, task, settings, sign):
    models = make(sign=sign)
    found = liking(models, task, best(models, task, settings, best_of=8))
    assert found.mean() > liking(models, task, alone(models, task, settings)).mean()


def test_a_block_goes_on_from_the_one_before_it(make, task, settings):
    """Without chance there is one way to go on: what is written is likeliest after what is."""
    models = make()
    greedy = settings.model_copy(update={"top_k": 1})
    first = best(models, replace(task, frames=4), settings)
    context = {level: torch.cat([task.context[level], first[level]], 1) for level in first}
    expected = alone(models, replace(task, context=context), greedy)
    # Two blocks of different settings: the second one is greedy.
    from cvg.sampling.rank import Ranker
    from cvg.sampling.rollout import Rollout

    chosen = settings.model_copy(update={"best_of": 3, "best_every": 2, "motion_weight": 0.0})
    ranker = Ranker(models, task, chosen)
    rollout = Rollout(models.transformers, ranker.candidates, chosen, seed=0)
    assert same(stacked(ranker.choose([rollout.write(), rollout.write()], rollout)), first)
    for writer in rollout._writers:
        writer._settings = greedy
    found = stacked(rollout.write() for _ in range(rollout.frames_left))
    for level, grids in found.items():
        assert torch.equal(grids, expected[level].repeat_interleave(3, 0))


def test_guided_videos_are_chosen_with_all_their_variants(make, task, settings):
    scales = settings.guidance.model_copy(update={"caption": 2.0, "motion": 1.5})
    guided = settings.model_copy(update={"guidance": scales})
    models = make(sign=0.0)
    assert same(best(models, task, guided), alone(models, task, guided))
    likes = make()
    found = liking(likes, task, best(likes, task, guided, best_of=8))
    assert found.mean() > liking(likes, task, alone(likes, task, guided)).mean()


def test_without_context_the_first_block_is_long_enough_to_be_seen(make, task, settings):
    models = make(frames=5)
    bare = replace(task, context=None)
    found = best(models, bare, settings, best_every=1)
    assert found["top"].shape[1] == FRAMES


def test_a_critic_of_one_frame_looks_at_what_was_written_alone(make, task, settings):
    models = make(frames=1)
    found = best(models, task, settings, best_every=FRAMES)
    assert found["top"].shape[1] == FRAMES - CONTEXT
    assert models.critic.model.asked == 3 * 3 * (FRAMES - CONTEXT)


def test_each_block_is_judged_by_the_condition_it_was_written_under(make, task, settings):
    told = []
    models = make()
    gather = type(models.critic.conditioning).gather

    class Listening(type(models.critic.conditioning)):
        def gather(self, conditions, *, frames):
            told.append([one.caption for one in conditions][::3])
            return gather(self, conditions, frames=frames)

    words = models.critic.conditioning
    listening = Listening(**vars(words))
    changed = replace(models, critic=replace(models.critic, conditioning=listening))
    others = [Condition(caption=word) for word in ("a", "blue", "red")]
    best(changed, replace(task, changes={5: others}), settings, best_every=FRAMES)
    first = [one.caption for one in task.conditions]
    assert told == [first, ["a", "blue", "red"]]


def test_a_goal_and_changes_are_repeated_with_their_video(toys, task):
    goal = {level: torch.from_numpy(a) for level, a in toys.all_codes(3, seed=8).items()}
    others = [Condition(caption=word) for word in ("a", "blue", "red")]
    found = repeat(replace(task, goal=goal, changes={5: others}), 2)
    assert found.names[:3] == ["a.mp4#0", "a.mp4#0 (1)", "b.mp4#4"]
    assert [one.caption for one in found.changes[5]] == ["a", "a", "blue", "blue", "red", "red"]
    for level, grids in goal.items():
        assert torch.equal(found.goal[level][1::2], grids)


def test_a_choice_needs_a_critic_and_frames_to_look_at(make, task, settings):
    models = make(frames=10)
    with pytest.raises(UserError, match="the critic looks at 10 frames, the videos have 9"):
        best(models, task, settings)
    with pytest.raises(UserError, match="there is no critic to choose: run train-critic"):
        best(replace(models, critic=None), task, settings)


def mean_changes(models, task, written):
    seen = {level: torch.cat([task.context[level], written[level]], 1) for level in written}
    count = next(iter(seen.values())).shape[1]
    frames = [{level: grids[:, t] for level, grids in seen.items()} for t in range(count)]
    return np.array([changes(video).mean() for video in decode_frames(models.vqgan, frames)])


@pytest.mark.parametrize("calm", [True, False])
def test_the_change_that_is_asked_outweighs_what_the_critic_likes(make, task, settings, calm):
    models = make()
    words = models.conditioning.vocabulary
    bucket = 1 if calm else words.num_buckets
    told = [replace(condition, motion=bucket) for condition in task.conditions]
    task = replace(task, conditions=told)
    free = mean_changes(models, task, best(models, task, settings, best_of=8, motion_weight=0.0))
    edge = float(np.median(free))
    words = replace(words, motion_edges=(edge,) * (words.num_buckets - 1))
    conditioning = replace(models.conditioning, vocabulary=words)
    transformers = {
        level: replace(one, conditioning=conditioning) for level, one in models.transformers.items()
    }
    models = replace(models, transformers=transformers)
    kept = mean_changes(models, task, best(models, task, settings, best_of=8, motion_weight=1e4))

    def beyond(found):
        return np.maximum(found - edge, 0) if calm else np.maximum(edge - found, 0)

    assert beyond(kept).sum() < beyond(free).sum()


def test_without_motion_that_is_asked_the_critic_alone_chooses(make, task, settings):
    models = make()
    told = [replace(condition, motion=None) for condition in task.conditions]
    task = replace(task, conditions=told)
    weights = ({"motion_weight": weight} for weight in (0.0, 1e4))
    one, other = (best(models, task, settings, best_of=4, **weight) for weight in weights)
    assert same(one, other)
