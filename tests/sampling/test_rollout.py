"""Writing videos: what is given stays, what is drawn follows the models and the seed."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from cvg.conditions.condition import KINDS, Condition
from cvg.sampling.rollout import Task, roll_out
from cvg.transformer.model import Goal

NAMES = ("a.mp4#0", "b.mp4#4", "c.mp4#9")
FRAMES, CONTEXT = 7, 2


@pytest.fixture
def context(toys):
    codes = toys.all_codes(6, seed=3)
    return {
        level: torch.from_numpy(array).reshape(3, 2, *array.shape[1:])
        for level, array in codes.items()
    }


@pytest.fixture
def goal(toys):
    return {level: torch.from_numpy(array) for level, array in toys.all_codes(3, seed=8).items()}


@pytest.fixture
def run(transformers, context, settings, toys):
    """Write the three videos, with changes."""

    def roll(
        *,
        rows=(0, 1, 2),
        seed=0,
        conditions=None,
        models=transformers,
        frames=FRAMES,
        start=context,
        goal=None,
        changes=None,
        scales=(),
        **others,
    ):
        rows = list(rows)
        told = conditions or toys.toy_conditions()
        guidance = settings.guidance.model_copy(update=dict(scales))
        task = Task(
            names=[NAMES[row] for row in rows],
            conditions=[told[row] for row in rows],
            frames=frames,
            context=start and {level: codes[rows] for level, codes in start.items()},
            goal=goal and {level: codes[rows] for level, codes in goal.items()},
            changes=changes,
        )
        drawn = list(
            roll_out(
                models,
                task,
                settings.model_copy(update={"guidance": guidance, **others}),
                seed=seed,
            )
        )
        codes = {level: torch.stack([frame[level] for frame in drawn], dim=1) for level in models}
        if start:
            codes = {level: torch.cat([start[level][rows], codes[level]], dim=1) for level in codes}
        return codes

    return roll


def same(one, other):
    return all(torch.equal(one[level], other[level]) for level in ("top", "bottom"))


def teacher_forced(transformers, codes, toys, goal=None):
    """Logits of every predicted code, in one pass over what was written."""
    logits = {}
    frames = codes["top"].shape[1]
    for level, transformer in transformers.items():
        layout = transformer.model.layout
        told = toys.gathered(toys.toy_conditions(), frames)
        end = None
        if goal:
            grids = {name: codes[:, None] for name, codes in goal.items()}
            end = Goal(codes=layout.to_sequence(grids)[:, 0], time=frames)
        with torch.no_grad():
            logits[level] = transformer.model(layout.to_sequence(codes), told, goal=end)
    return logits


def test_the_context_is_kept_and_the_future_has_the_right_length(run, context, toys):
    codes = run()
    for level, grid in (("top", toys.TOP), ("bottom", toys.BOTTOM)):
        assert codes[level].shape == (3, 7, grid.rows, grid.columns)
        assert torch.equal(codes[level][:, :2], context[level])
        assert 0 <= codes[level].min() <= codes[level].max() < grid.codebook_size


def test_greedy_videos_are_the_likeliest_codes_of_one_pass(run, transformers, toys):
    codes = run(top_k=1)
    for level, logits in teacher_forced(transformers, codes, toys).items():
        likeliest = logits.argmax(-1)[:, 2:]
        assert torch.equal(codes[level][:, 2:].flatten(2), likeliest)


def test_drawn_codes_are_those_of_the_distribution_of_one_pass(run, transformers, toys):
    """Also with a window shorter than the video, and all filters."""
    from cvg.sampling.draw import Dice, draw
    from cvg.sampling.filters import keep_top_k, keep_top_p, temper

    codes = run(temperature=1.3, top_k=9, top_p=0.9)
    for level, logits in teacher_forced(transformers, codes, toys).items():
        n = logits.shape[2]
        dice = Dice(0, NAMES, level=level, device=torch.device("cpu"))
        uniforms = dice.roll(5 * n).reshape(3, 5, n)
        for frame in range(5):
            for place in range(n):
                filtered = keep_top_k(temper(logits[:, 2 + frame, place], 1.3), 9)
                expected = draw(keep_top_p(filtered, 0.9).softmax(-1), uniforms[:, frame, place])
                assert torch.equal(codes[level][:, 2 + frame].flatten(1)[:, place], expected)


@pytest.mark.parametrize("order", ["raster", "parallel"])
def test_a_video_does_not_depend_on_its_batch_or_the_order(run, ordered, order):
    models, scales = ordered(order), {"caption": 1.5, "map": 2.0}
    together = run(scales=scales, models=models)
    backwards = run(rows=(2, 1, 0), scales=scales, models=models)
    alone = [run(rows=(row,), scales=scales, models=models) for row in range(3)]
    for level in ("top", "bottom"):
        assert torch.equal(backwards[level].flip(0), together[level])
        assert torch.equal(torch.cat([codes[level] for codes in alone]), together[level])


def test_the_same_seed_gives_the_same_videos_and_another_seed_others(run):
    first, again, other = run(), run(), run(seed=1)
    assert same(first, again)
    assert not same(first, other)


def test_a_longer_video_begins_with_the_shorter_one(run):
    short, long = run(frames=4), run(frames=9)
    assert all(torch.equal(long[level][:, :4], short[level]) for level in short)


def test_guidance_of_zero_for_all_that_is_told_is_the_null_condition(run):
    told = [Condition(caption="red"), Condition(caption="blue disc"), Condition()]
    unguided = run(conditions=told, scales={"caption": 0.0, "label": 0.0})
    assert same(unguided, run(conditions=[Condition()] * 3))
    assert not same(unguided, run(conditions=told))


def test_guidance_of_one_is_no_guidance(run):
    """The guided path with a scale as good as one gives what the plain path gives."""
    assert same(run(), run(scales=dict.fromkeys(KINDS, 1.0 + 1e-12)))


@pytest.mark.parametrize("kind", KINDS)
def test_guidance_changes_the_videos_that_have_the_condition(run, kind, toys):
    plain, strong = run(), run(scales={kind: 30.0})
    has = [getattr(told, kind) is not None for told in toys.toy_conditions()]
    changed = (plain["bottom"] != strong["bottom"]).any((1, 2, 3)).tolist()
    assert changed == has


def test_videos_may_begin_with_nothing(run, transformers, toys):
    codes = run(start=None, top_k=1)
    assert codes["top"].shape[1] == FRAMES
    for level, logits in teacher_forced(transformers, codes, toys).items():
        assert torch.equal(codes[level].flatten(2), logits.argmax(-1))


def test_a_goal_is_seen_from_the_first_frame_on_and_not_written(run, transformers, toys, goal):
    codes = run(goal=goal, top_k=1, frames=FRAMES + 1)
    assert codes["top"].shape[1] == FRAMES  # all but the last
    for level, logits in teacher_forced(transformers, codes, toys, goal).items():
        assert torch.equal(codes[level][:, CONTEXT:].flatten(2), logits.argmax(-1)[:, CONTEXT:])


def test_a_changed_condition_changes_the_frames_from_there_on(run, toys):
    other = [Condition(caption="blue")] * 3
    plain, changed = run(), run(changes={4: other})
    differs = [(plain["bottom"][:, i] != changed["bottom"][:, i]).any() for i in range(FRAMES)]
    assert differs[:4] == [False] * 4
    assert differs[4]
    assert same(plain, run(changes={4: toys.toy_conditions()}))


@pytest.fixture
def ordered(transformers, toys):
    """Models of an order."""

    def make(order):
        if order == "raster":
            return transformers
        return {
            level: replace(one, model=toys.toy_transformer(one.model.layout, order=order))
            for level, one in transformers.items()
        }

    return make


def test_one_round_of_parallel_order_is_one_pass(run, ordered, toys):
    """All codes at once, each the likeliest, from a frame whose codes are all hidden."""
    models = ordered("parallel")
    codes = run(models=models, passes=1, top_k=1)
    for level, one in models.items():
        sequence = one.model.layout.to_sequence(codes)
        shape = (*sequence.shape[:2], one.model.layout.predicted.num_codes)
        told = toys.gathered(toys.toy_conditions(), FRAMES)
        with torch.no_grad():
            logits = one.model(sequence, told, hidden=torch.ones(shape, dtype=torch.bool))
        written = codes[level][:, CONTEXT:].flatten(2)
        assert torch.equal(written, logits.argmax(-1)[:, CONTEXT:])


def test_in_later_rounds_codes_are_settled_in_view_of_the_others(run, ordered):
    models = ordered("parallel")
    runs = [run(models=models, passes=passes, frames=12, temperature=2.0) for passes in (1, 4)]
    assert not same(*runs)
    assert same(runs[1], run(models=models, passes=4, frames=12, temperature=2.0))


def test_each_code_is_settled_once(run, ordered, monkeypatch):
    from cvg.transformer.decoder import Decoder

    seen = []
    look = Decoder.look

    def watch(self, codes, hidden):
        seen.append((codes.clone(), hidden.clone(), self.model.layout))
        return look(self, codes, hidden)

    monkeypatch.setattr(Decoder, "look", watch)
    run(models=ordered("parallel"), passes=3, frames=CONTEXT + 1)
    for level_rounds in (seen[:3], seen[3:]):
        for (codes, hidden, layout), (later, still, _) in pairwise(level_rounds):
            given = layout.num_given
            assert (still <= hidden).all()
            assert (still.sum(1) < hidden.sum(1)).all()
            settled = ~hidden
            assert torch.equal(codes[:, given:][settled], later[:, given:][settled])


def test_the_bottom_is_written_below_the_new_top(run, transformers):
    """Another top of the first new frame gives another bottom of that frame."""
    other = dict(transformers)
    top = transformers["top"]
    model = type(top.model)(top.model.shape, top.model.layout).double().eval()
    state = top.model.state_dict()
    # Strong enough to outweigh the logits that draw each place to its previous code.
    slope = torch.linspace(-100, 100, len(state["head.project.bias"]), dtype=torch.float64)
    model.load_state_dict(state | {"head.project.bias": slope})
    other["top"] = replace(top, model=model)
    plain, changed = run(top_k=1), run(top_k=1, models=other)
    assert not torch.equal(plain["top"][:, 2], changed["top"][:, 2])
    assert not torch.equal(plain["bottom"][:, 2], changed["bottom"][:, 2])
