"""A frame that is imagined: which logits its gradient reaches, and that it is a drawn one."""

import pytest
import torch
import torch.nn.functional as F

from cvg.finetuning.imagine import Imagination, gumbel_codes, last_logits
from cvg.training.runtime import Runtime


@pytest.fixture
def clips(toys, store):
    """Codes and conditions of three clips of five frames."""
    codes = {
        grid.level: torch.randint(
            grid.codebook_size, (3, 5, grid.rows, grid.columns), generator=toys.rng()
        )
        for grid in toys.GRIDS
    }
    told = toys.CONDITIONING.gather(toys.toy_conditions(5), frames=5)
    return codes, {"top": told, "bottom": told}


@pytest.fixture
def make(models):
    def make(taught=("top", "bottom"), temperature=1.0):
        return Imagination(
            transformers={
                level: one.model.requires_grad_(True) for level, one in models.transformers.items()
            },
            codebooks=models.vqgan.codebooks(),
            taught=taught,
            temperature=temperature,
            runtime=Runtime(device=torch.device("cpu")),
        )

    return make


def test_what_is_drawn_are_codebook_vectors(toys, models, make, clips):
    vectors = make().write(*clips, rng=toys.rng())
    for level, frame in vectors.items():
        book = models.vqgan.codebooks()[level]
        flat = frame.permute(0, 1, 3, 4, 2).reshape(-1, toys.CODE_DIM)
        apart = (flat[:, None] - book).abs().amax(-1)
        assert apart.amin(1).max() < 1e-6


@pytest.mark.parametrize("taught", [("top",), ("bottom",), ("top", "bottom")])
def test_a_gradient_reaches_the_levels_that_are_taught_and_no_other(toys, make, clips, taught):
    imagination = make(taught)
    vectors = imagination.write(*clips, rng=toys.rng())
    for level, frame in vectors.items():
        assert frame.requires_grad == (level in taught)
    sum(frame.square().sum() for frame in vectors.values() if frame.requires_grad).backward()
    for level, model in imagination.transformers.items():
        norms = [p.grad.norm() for p in model.parameters() if p.grad is not None]
        assert bool(norms) == (level in taught)
        if norms:
            assert max(norms) > 0


def test_no_gradient_passes_from_one_level_to_the_other(toys, make, clips):
    imagination = make()
    vectors = imagination.write(*clips, rng=toys.rng())
    vectors["bottom"].square().sum().backward()
    assert all(p.grad is None for p in imagination.transformers["top"].parameters())


@pytest.mark.parametrize("order", ["raster", "parallel"])
@pytest.mark.parametrize("level", ["top", "bottom"])
def test_the_logits_are_those_of_the_last_frame_of_a_clip_as_in_training(toys, level, order):
    from cvg.codes.layout import layout_of

    layout = layout_of(level, toys.GRIDS)
    model = toys.toy_transformer(layout, order=order, reach=3)
    codes = torch.randint(toys.CODEBOOK, (3, 6, layout.num_places), generator=toys.rng())
    told = toys.gathered(toys.toy_conditions(6), 6)
    hidden = None
    if order == "parallel":
        hidden = torch.ones(3, 4, layout.predicted.num_codes, dtype=torch.bool)
    found = last_logits(model, codes, told)
    expected = model(codes[:, 2:], told.clip(2, 6), hidden=hidden)[:, -1]
    assert torch.allclose(found.double(), expected, atol=1e-4)


def test_only_the_last_frame_takes_a_gradient(toys, models, make, clips):
    seen = []
    imagination = make()
    for model in imagination.transformers.values():
        model.head.register_full_backward_hook(lambda module, into, out: seen.append(out[0]))
    vectors = imagination.write(*clips, rng=toys.rng())
    sum(frame.square().sum() for frame in vectors.values()).backward()
    assert sorted(gradient.shape[1:3] for gradient in seen) == [(1, 4), (1, 16)]  # of one frame
    assert all((gradient.abs().amax(-1) > 0).all() for gradient in seen)


def test_the_bottom_sees_the_top_that_was_drawn(toys, make, clips):
    codes, told = clips
    imagination = make()
    other = {level: grids.clone() for level, grids in codes.items()}
    other["top"][:, -1] = (other["top"][:, -1] + 1) % toys.CODEBOOK
    # In raster order the codes of a grid see those before them: only the last has no influence.
    first, second = (
        Recorder(imagination, given, told, rng=toys.rng()).sequence for given in (codes, other)
    )
    drawn_top = first[:, -1, :4]
    assert not torch.equal(drawn_top, codes["top"][:, -1].flatten(1))
    assert not torch.equal(second[:, -1, :4], other["top"][:, -1].flatten(1))


class Recorder:
    """What the bottom is given."""

    def __init__(self, imagination, codes, told, *, rng):
        model = imagination.transformers["bottom"]
        self._process = model.process
        model.process = self._keep
        imagination.write(codes, told, rng=rng)
        del model.process

    def _keep(self, sequence, *others, **more):
        self.sequence = sequence
        return self._process(sequence, *others, **more)


def test_codes_are_drawn_as_often_as_their_probability(toys):
    logits = torch.tensor([0.5, 0.3, 0.2]).log().expand(1, 20000, 3)
    drawn = gumbel_codes(logits, temperature=1.0, rng=toys.rng())
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    assert drawn.mean(1)[0].tolist() == pytest.approx([0.5, 0.3, 0.2], abs=0.015)


def test_the_gradient_is_that_of_torch(toys, monkeypatch):
    logits = torch.randn(2, 3, 5, generator=toys.rng()).requires_grad_()
    weights = torch.randn(2, 3, 5, generator=toys.rng(1))
    uniforms = torch.rand(2, 3, 5, generator=toys.rng(2))
    ours = gumbel_codes(logits, temperature=0.7, rng=toys.rng(2))
    (gradient,) = torch.autograd.grad((ours * weights).sum(), logits)
    # The library draws its noise by itself: it is given ours.
    exponentials = -uniforms.log()
    monkeypatch.setattr(torch.Tensor, "exponential_", lambda tensor: exponentials)
    theirs = F.gumbel_softmax(logits, tau=0.7, hard=True)
    (expected,) = torch.autograd.grad((theirs * weights).sum(), logits)
    assert torch.equal(ours.detach(), theirs.detach().round())
    assert torch.allclose(gradient, expected, atol=1e-6)
