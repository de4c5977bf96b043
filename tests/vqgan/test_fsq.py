"""The fixed grid: a one-to-one table of codes, rounding, and the agreement with a library."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from vector_quantize_pytorch import FSQ

from cvg.errors import UserError
from cvg.vqgan.fsq import FsqQuantizer

LEVEL_SETS = st.lists(st.integers(3, 9), min_size=1, max_size=4)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def grid(vectors):
    """One picture of one row, a column for each vector."""
    return vectors.T[None, :, None, :].contiguous()


def encoder_outputs(quantizer):
    """Latents that fall onto every vector of the table: the way through tanh, backwards."""
    counts = quantizer.counts
    reach = (counts - 1) * 1.001 / 2
    offset = torch.where(counts % 2 == 0, 0.5, 0.0)
    rounded = quantizer.vectors() * (counts // 2)
    return torch.atanh((rounded + offset) / reach) - torch.atanh(offset / reach)


@settings(deadline=None, max_examples=40)
@given(LEVEL_SETS)
def test_every_vector_is_different_and_in_range(levels):
    vectors = FsqQuantizer(name="top", fsq_levels=levels).vectors()
    assert len(vectors.unique(dim=0)) == math.prod(levels)
    assert vectors.abs().max() <= 1
    for place, count in enumerate(levels):
        assert len(vectors[:, place].unique()) == count


@settings(deadline=None, max_examples=40)
@given(LEVEL_SETS)
def test_every_code_is_reached_and_is_the_code_of_its_own_vector(levels):
    quantizer = FsqQuantizer(name="top", fsq_levels=levels)
    result = quantizer(grid(encoder_outputs(quantizer)))
    assert result.codes.flatten().tolist() == list(range(math.prod(levels)))
    assert torch.equal(result.latents, grid(quantizer.vectors()))


def test_the_first_coordinate_is_the_fastest():
    vectors = FsqQuantizer(name="top", fsq_levels=(3, 4)).vectors()
    first, second = [-1.0, 0.0, 1.0], [-1.0, -0.5, 0.0, 0.5]
    expected = [[x, y] for y, x in itertools.product(second, first)]
    assert vectors.tolist() == expected


@pytest.mark.parametrize("levels", [(8, 8, 4), (5, 5, 5), (3, 4), (7,), (8, 5, 5, 5), (500, 3)])
def test_codes_values_and_gradients_are_those_of_an_established_library(levels):
    ours, theirs = FsqQuantizer(name="top", fsq_levels=levels), FSQ(list(levels))
    torch.testing.assert_close(ours.vectors(), theirs.implicit_codebook, rtol=0, atol=1e-6)
    encoded = 2 * torch.randn(3, len(levels), 12, 12, generator=rng())
    weights = torch.randn(encoded.shape, generator=rng(1))
    gradients = []
    for quantizer in (ours, theirs):
        source = encoded.clone().requires_grad_()
        result = quantizer(source)
        values, codes = (result.latents, result.codes) if quantizer is ours else result
        (values * weights).sum().backward()
        gradients.append((codes, values, source.grad))
    (codes, values, gradient), (their_codes, their_values, their_gradient) = gradients
    assert codes.tolist() == their_codes.tolist()
    torch.testing.assert_close(values, their_values, rtol=0, atol=1e-6)
    torch.testing.assert_close(gradient, their_gradient, rtol=1e-6, atol=1e-6)
    assert codes.unique().numel() > 6


@settings(deadline=None, max_examples=40)
@given(LEVEL_SETS)
def test_a_latent_of_zero_stays_zero(levels):
    result = FsqQuantizer(name="top", fsq_levels=levels)(torch.zeros(1, len(levels), 1, 1))
    assert (result.latents == 0).all()


@pytest.mark.parametrize("count", [2000, 2001, 65536])
def test_however_many_values_a_coordinate_has_its_ends_are_in_range(count):
    quantizer = FsqQuantizer(name="top", fsq_levels=(count,))
    assert quantizer(grid(torch.tensor([[-1e9], [1e9]]))).codes.tolist() == [[[0, count - 1]]]


def test_nothing_is_stored_trained_or_pulled():
    quantizer = FsqQuantizer(name="top", fsq_levels=(8, 8, 4)).train()
    before = quantizer.vectors().clone()
    result = quantizer(torch.randn(2, 3, 4, 4, generator=rng()))
    assert quantizer.state_dict() == {}
    assert torch.equal(quantizer.vectors(), before)
    assert result.commitment_loss == 0
    assert result.restarted == 0


def test_a_coordinate_of_two_values_is_refused():
    with pytest.raises(UserError, match=r"vqgan.fsq_levels: found \[8, 2\], expected 3 or more"):
        FsqQuantizer(name="top", fsq_levels=(8, 2))
