"""Likelihood by how much of the truth is seen."""

import pytest
import torch

from cvg.sampling.likelihood import TRUTHS, measure_likelihood

FRAMES, CONTEXT = 7, 2


@pytest.fixture
def codes(toys):
    found = toys.all_codes(3 * FRAMES, seed=4)
    return {
        level: torch.from_numpy(array).reshape(3, FRAMES, *array.shape[1:])
        for level, array in found.items()
    }


@pytest.fixture
def measure(transformers, codes, toys):
    def run(truth, *, models=transformers, clips=codes, seed=0, context=CONTEXT):
        return measure_likelihood(
            models, clips, toys.toy_conditions(), context_frames=context, truth=truth, seed=seed
        )

    return run


def in_one_pass(transformers, codes, toys):
    """Nats of the true codes, all true codes before them given."""
    nll = {}
    for level, one in transformers.items():
        sequence = one.model.layout.to_sequence(codes)
        with torch.no_grad():
            logits = one.model(sequence, toys.gathered(toys.toy_conditions(), FRAMES))
        true = sequence[..., one.model.layout.num_given :]
        logs = logits.log_softmax(-1).gather(-1, true[..., None])[..., 0]
        nll[level] = -logs.mean(-1)
    return nll


@pytest.mark.parametrize("context", [0, CONTEXT])
def test_with_all_of_the_truth_it_is_what_training_measures(
    transformers, codes, toys, measure, context
):
    found, expected = measure("all", context=context), in_one_pass(transformers, codes, toys)
    for level in transformers:
        torch.testing.assert_close(found[level], expected[level][:, context:], rtol=0, atol=1e-9)


def test_the_true_frames_before_are_put_back_after_each_frame(measure, codes):
    """What is drawn in a frame has no influence on later ones: their likelihood is the same."""
    changed = {level: grids.clone() for level, grids in codes.items()}
    one, other = measure("frames", seed=1), measure("frames", seed=2)
    assert not torch.allclose(one["top"], other["top"])
    for grids in changed.values():
        grids[:, -1] = (grids[:, -1] + 1) % 12
    moved = measure("frames", seed=1, clips=changed)
    for level in codes:
        assert torch.equal(moved[level][:, :-1], one[level][:, :-1])
        assert not torch.allclose(moved[level][:, -1], one[level][:, -1])


def test_the_first_frame_is_the_same_whether_later_ones_are_true_or_drawn(measure):
    frames, context = measure("frames"), measure("context")
    # The random numbers differ by purpose, so only the first code of the first frame must agree.
    assert frames["top"].shape == context["top"].shape == (3, FRAMES - CONTEXT)
    assert not torch.allclose(frames["top"][:, 1:], context["top"][:, 1:])


def test_freely_written_frames_do_not_see_the_truth(measure, codes):
    """Another true frame changes its own likelihood and no other's."""
    changed = {level: grids.clone() for level, grids in codes.items()}
    for grids in changed.values():
        grids[:, 4] = (grids[:, 4] + 1) % 12
    one, other = measure("context"), measure("context", clips=changed)
    for level in codes:
        same = [torch.equal(one[level][:, i], other[level][:, i]) for i in range(FRAMES - CONTEXT)]
        assert same == [True, True, False, True, True]


@pytest.mark.parametrize("truth", TRUTHS)
def test_the_same_seed_gives_the_same_figures(measure, truth):
    one, again = measure(truth), measure(truth)
    assert all(torch.equal(one[level], again[level]) for level in one)


def test_parallel_order_has_no_likelihood(transformers, toys, measure):
    from dataclasses import replace

    layout = transformers["top"].model.layout
    parallel = replace(transformers["top"], model=toys.toy_transformer(layout, order="parallel"))
    with pytest.raises(ValueError, match="only transformers of raster order"):
        measure("all", models={"top": parallel})
