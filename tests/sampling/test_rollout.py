"""Continuing videos: what is given stays, what is drawn follows the models and the seed."""

from dataclasses import replace

import pytest
import torch

from cvg.sampling.rollout import roll_out

NAMES = ("a.mp4#0", "b.mp4#4", "c.mp4#9")
CONDITIONS = [("a red disc", "round"), (None, None), ("blue", None)]


@pytest.fixture
def context(toys):
    codes = toys.all_codes(6, seed=3)
    return {
        level: torch.from_numpy(array).reshape(3, 2, *array.shape[1:])
        for level, array in codes.items()
    }


@pytest.fixture
def run(transformers, context, settings):
    """Roll out the three videos, with changes."""

    def roll(*, rows=(0, 1, 2), seed=0, conditions=None, models=transformers, **changes):
        rows = list(rows)
        return roll_out(
            models,
            {level: codes[rows] for level, codes in context.items()},
            conditions or [CONDITIONS[row] for row in rows],
            settings.model_copy(update=changes),
            names=[NAMES[row] for row in rows],
            seed=seed,
        )

    return roll


def same(one, other):
    return all(torch.equal(one[level], other[level]) for level in ("top", "bottom"))


def teacher_forced(transformers, codes):
    """Logits of every predicted code, in one pass over what was written."""
    logits = {}
    for level, transformer in transformers.items():
        conditions = transformer.vocabulary.encode_all(CONDITIONS)
        sequence = transformer.model.layout.to_sequence(codes)
        with torch.no_grad():
            logits[level] = transformer.model(sequence, conditions)
    return logits


def test_the_context_is_kept_and_the_future_has_the_right_length(run, context, toys):
    codes = run()
    for level, grid in (("top", toys.TOP), ("bottom", toys.BOTTOM)):
        assert codes[level].shape == (3, 7, grid.rows, grid.columns)
        assert torch.equal(codes[level][:, :2], context[level])
        assert 0 <= codes[level].min() <= codes[level].max() < grid.codebook_size


def test_greedy_videos_are_the_likeliest_codes_of_one_pass(run, transformers):
    codes = run(top_k=1)
    for level, logits in teacher_forced(transformers, codes).items():
        likeliest = logits.argmax(-1)[:, 2:]
        assert torch.equal(codes[level][:, 2:].flatten(2), likeliest)


def test_drawn_codes_are_those_of_the_distribution_of_one_pass(run, transformers):
    """Also with a window shorter than the video, and all filters."""
    from cvg.sampling.draw import draw, uniforms_of_videos
    from cvg.sampling.filters import keep_top_k, keep_top_p, temper

    codes = run(temperature=1.3, top_k=9, top_p=0.9)
    for level, logits in teacher_forced(transformers, codes).items():
        n = logits.shape[2]
        uniforms = uniforms_of_videos(0, NAMES, count=5 * n, level=level).reshape(3, 5, n)
        for frame in range(5):
            for place in range(n):
                filtered = keep_top_k(temper(logits[:, 2 + frame, place], 1.3), 9)
                expected = draw(keep_top_p(filtered, 0.9).softmax(-1), uniforms[:, frame, place])
                assert torch.equal(codes[level][:, 2 + frame].flatten(1)[:, place], expected)


def test_a_video_does_not_depend_on_its_batch_or_the_order(run):
    together = run(guidance_scale=1.5)
    backwards = run(rows=(2, 1, 0), guidance_scale=1.5)
    alone = [run(rows=(row,), guidance_scale=1.5) for row in range(3)]
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


def test_guidance_of_zero_is_the_null_condition(run):
    unguided = run(guidance_scale=0.0)
    assert same(unguided, run(conditions=[(None, None)] * 3))
    assert not same(unguided, run())


def test_guidance_of_one_is_no_guidance(run):
    """The guided path with a scale as good as one gives what the plain path gives."""
    assert same(run(guidance_scale=1.0), run(guidance_scale=1.0 + 1e-12))


def test_guidance_above_one_changes_the_videos_that_have_a_condition(run):
    plain, strong = run(), run(guidance_scale=8.0)
    for level in ("top", "bottom"):
        changed = (plain[level] != strong[level]).any((1, 2, 3)).tolist()
        assert changed == [True, False, True]


def test_the_bottom_is_written_below_the_new_top(run, transformers):
    """Another top of the first new frame gives another bottom of that frame."""
    other = dict(transformers)
    top = transformers["top"]
    model = type(top.model)(top.model.shape, top.model.layout).double().eval()
    state = top.model.state_dict()
    # Strong enough to outweigh the logits that draw each place to its previous code.
    slope = torch.linspace(-100, 100, len(state["head.bias"]), dtype=torch.float64)
    model.load_state_dict(state | {"head.bias": slope})
    other["top"] = replace(top, model=model)
    plain, changed = run(top_k=1), run(top_k=1, models=other)
    assert not torch.equal(plain["top"][:, 2], changed["top"][:, 2])
    assert not torch.equal(plain["bottom"][:, 2], changed["bottom"][:, 2])
