"""What holds for every kind of quantizer: guards, precision, gradients, the way back from codes."""

import re
from dataclasses import replace

import pytest
import torch

from cvg.seeding import seed_everything
from cvg.training.finite import NonFiniteError
from cvg.vqgan.ema import EmaQuantizer
from cvg.vqgan.fsq import FsqQuantizer
from cvg.vqgan.quantizer import straight_through
from cvg.vqgan.quantizers import QuantizerShape, make_quantizer

CODES, WIDTH = 20, 2

EMA = QuantizerShape(
    kind="ema",
    codebook_size=CODES,
    code_dim=WIDTH,
    decay=0.9,
    restart_below=0.2,
    normalize=False,
    fsq_levels=(8, 8, 4),
)
SHAPES = {
    "ema": EMA,
    "normalized": replace(EMA, normalize=True),
    "fsq": replace(EMA, kind="fsq", fsq_levels=(5, 4), code_dim=16),
}


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def latents(seed=0, *, width=WIDTH):
    return torch.randn(4, width, 3, 5, generator=rng(seed))


def state(quantizer):
    return {name: buffer.clone() for name, buffer in quantizer.named_buffers()}


def assert_same_state(quantizer, expected):
    for name, buffer in quantizer.named_buffers():
        assert torch.equal(buffer, expected[name]), name


@pytest.fixture(params=SHAPES)
def quantizer(request):
    """One of each kind, after two training steps, in training mode."""
    seed_everything(0, "test")
    quantizer = make_quantizer(SHAPES[request.param], name="middle").train()
    for step in range(2):
        quantizer(latents(step + 100))
    return quantizer


def test_the_shape_says_which_kind_is_made():
    assert isinstance(make_quantizer(EMA, name="top"), EmaQuantizer)
    assert isinstance(make_quantizer(SHAPES["fsq"], name="top"), FsqQuantizer)


def test_sizes_are_those_of_the_table_of_vectors(quantizer):
    assert quantizer.vectors().shape == (quantizer.codebook_size, quantizer.code_dim)
    assert (quantizer.codebook_size, quantizer.code_dim) == (CODES, WIDTH)


def test_a_shape_whose_number_of_codes_is_not_that_of_its_grid_is_refused():
    with pytest.raises(ValueError, match=r"codebook_size is 20, expected 256"):
        replace(EMA, kind="fsq")


def test_latents_are_the_looked_up_vectors_to_the_bit(quantizer):
    result = quantizer.eval()(latents())
    assert torch.equal(result.latents, quantizer.look_up(result.codes))
    assert result.codes.unique().numel() > 5


def test_a_row_of_the_table_is_the_vector_of_its_code(quantizer):
    codes = torch.arange(CODES).reshape(2, 2, 5)
    looked_up = quantizer.look_up(codes).permute(0, 2, 3, 1).reshape(CODES, WIDTH)
    assert torch.equal(looked_up, quantizer.vectors())


def test_in_evaluation_nothing_changes(quantizer):
    before = state(quantizer)
    result = quantizer.eval()(latents())
    assert_same_state(quantizer, before)
    assert result.restarted == 0


def test_nothing_takes_a_gradient(quantizer):
    encoded = latents().requires_grad_()
    result = quantizer(encoded)
    (result.latents.sum() + result.commitment_loss).backward()
    assert encoded.grad.isfinite().all()
    assert list(quantizer.parameters()) == []
    assert all(buffer.grad is None for buffer in quantizer.buffers())


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_latents_that_are_not_finite_stop_the_step_before_anything_changes(
    quantizer, bad, training
):
    quantizer.train(training)
    before = state(quantizer)
    encoded = latents()
    encoded[1, 0, 2, 1] = bad
    encoded[3, 1, 0, 0] = bad
    with pytest.raises(NonFiniteError, match=r"level middle: 2 of 120 "):
        quantizer(encoded)
    assert_same_state(quantizer, before)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_first_batch_that_is_not_finite_starts_nothing(shape):
    quantizer = make_quantizer(shape, name="top").train()
    before = state(quantizer)
    with pytest.raises(NonFiniteError):
        quantizer(torch.full((1, WIDTH, 2, 2), float("nan")))
    assert_same_state(quantizer, before)


@pytest.mark.parametrize("codes", [[-1, 3], [0, CODES], [-5, CODES + 7]])
def test_a_code_out_of_range_is_refused(quantizer, codes):
    expected = f"level middle: found codes {codes[0]} .. {codes[1]}, expected 0 .. {CODES - 1}"
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        quantizer.look_up(torch.tensor([[codes]]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.complex64])
def test_codes_that_are_no_whole_numbers_are_refused(quantizer, dtype):
    with pytest.raises(ValueError, match=r"level middle: found codes of type torch\."):
        quantizer.look_up(torch.ones(1, 2, 2, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_codes_of_any_integer_type_are_looked_up(quantizer, dtype):
    codes = torch.randint(CODES, (2, 3, 3), generator=rng())
    assert torch.equal(quantizer.look_up(codes.to(dtype)), quantizer.look_up(codes))


def test_latents_of_another_width_are_refused(quantizer):
    with pytest.raises(Exception, match="Shape mismatch"):
        quantizer(latents(width=WIDTH - 1))


@pytest.mark.parametrize("half", [False, True])
def test_under_autocast_all_is_as_in_single_precision(quantizer, half):
    """Ten steps from the same state, with latents in single and in half precision."""
    before = state(quantizer)
    batches = [latents(step).to(torch.bfloat16 if half else torch.float32) for step in range(10)]
    results = []
    for autocast in (False, True):
        seed_everything(3, "test")
        quantizer.load_state_dict(before, strict=False)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            given = [quantizer(batch if autocast else batch.float()) for batch in batches]
        results.append((given, state(quantizer)))
    (plain, expected), (cast, found) = results
    for one, other in zip(plain, cast, strict=True):
        assert torch.equal(one.codes, other.codes)
        assert torch.equal(one.latents, other.latents)
        assert torch.equal(one.commitment_loss, other.commitment_loss)
    for name, buffer in found.items():
        assert buffer.dtype == expected[name].dtype != torch.bfloat16
        assert torch.equal(buffer, expected[name]), name


def test_under_autocast_the_gradient_reaches_the_encoder(quantizer):
    encoder = torch.nn.Conv2d(3, WIDTH, 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        encoded = encoder(torch.randn(2, 3, 4, 4, generator=rng()))
        assert encoded.dtype == torch.bfloat16
        quantizer(encoded).latents.square().sum().backward()
    assert encoder.weight.grad.isfinite().all()
    assert encoder.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("value", [0.0, 1.0, -1e-30, 1e6])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_constant_input_leaves_every_number_finite(shape, value):
    seed_everything(0, "test")
    quantizer = make_quantizer(shape, name="top").train()
    for _ in range(40):  # long enough for codes to die
        encoded = torch.full((1, WIDTH, 4, 4), value, requires_grad=True)
        result = quantizer(encoded)
        (result.latents.sum() + result.commitment_loss).backward()
        assert encoded.grad.isfinite().all()
        assert result.latents.isfinite().all()
        assert result.commitment_loss.isfinite()
        assert result.codes.unique().numel() == 1
    assert all(buffer.isfinite().all() for buffer in quantizer.buffers())
    assert quantizer.eval()(encoded).latents.isfinite().all()


def test_a_reloaded_quantizer_goes_on_as_if_nothing_had_happened(quantizer, request):
    kind = request.node.callspec.params["quantizer"]
    reloaded = make_quantizer(SHAPES[kind], name="middle").train()
    reloaded.load_state_dict(quantizer.state_dict())
    given = []
    for each in (quantizer, reloaded):
        seed_everything(1, "test")
        given.append([each(latents(step)) for step in range(3)])
    for one, other in zip(*given, strict=True):
        assert torch.equal(one.codes, other.codes)
        assert torch.equal(one.latents, other.latents)
    assert_same_state(reloaded, state(quantizer))


def test_straight_through_has_the_value_of_the_one_and_the_gradient_of_the_other():
    source = torch.tensor([0.1, 1e8, -3.0], requires_grad=True)
    target = torch.tensor([0.3, 1.0, 7.7], requires_grad=True)
    joined = straight_through(source, target)
    assert torch.equal(joined, target)
    joined.sum().backward()
    assert source.grad.tolist() == [1, 1, 1]
    assert target.grad is None
