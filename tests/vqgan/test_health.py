"""Figures of the health gate by hand and against scikit-image; the gate itself."""

import math

import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from cvg.errors import UserError
from cvg.vqgan.health import check_gates, code_use, frame_psnr, measure_health


def test_perplexity_is_the_codebook_size_for_even_use_and_one_for_a_single_code():
    even, single = code_use(torch.tensor([3, 3, 3, 3])), code_use(torch.tensor([0, 7, 0, 0]))
    assert (even.usage, single.usage) == (1.0, 0.25)
    assert even.perplexity == pytest.approx(4)
    assert single.perplexity == pytest.approx(1)


def test_perplexity_by_hand():
    use = code_use(torch.tensor([1, 0, 3]))
    assert use.perplexity == pytest.approx(
        math.exp(-(0.25 * math.log(0.25) + 0.75 * math.log(0.75)))
    )
    assert use.usage == pytest.approx(2 / 3)


def test_psnr_is_that_of_scikit_image(toys):
    frames = toys.toy_frames(4)
    other = (frames + 0.2 * torch.randn(frames.shape, generator=toys.rng())).clamp(-1, 1)
    expected = [
        peak_signal_noise_ratio(one.numpy(), two.numpy(), data_range=2.0)
        for one, two in zip(frames, other, strict=True)
    ]
    assert frame_psnr(frames, other).tolist() == pytest.approx(expected, rel=1e-5)


def test_overshoot_is_clipped_before_it_is_measured(toys):
    frames = torch.ones(1, 3, 4, 4)
    assert torch.equal(frame_psnr(frames, 5 * frames), frame_psnr(frames, frames))


def test_identical_frames_have_a_finite_psnr(toys):
    frames = toys.toy_frames(2)
    assert torch.isfinite(frame_psnr(frames, frames)).all()


def test_figures_are_means_over_frames_and_not_over_batches(vqgan, toys):
    frames = toys.toy_frames(10)
    whole = measure_health(vqgan, [frames])
    parts = measure_health(vqgan, iter(frames.split([1, 7, 2])))
    assert parts == pytest.approx(whole, rel=1e-5)


def test_figures_by_hand(vqgan, frames):
    figures = measure_health(vqgan, [frames])
    with torch.no_grad():
        result = vqgan(frames)
        top = vqgan.decode_top(result.top.codes)
    assert figures["psnr"] == pytest.approx(frame_psnr(frames, result.frames).mean().item())
    assert figures["psnr_top"] == pytest.approx(frame_psnr(frames, top).mean().item())
    assert figures["l2"] == pytest.approx((result.frames - frames).square().mean().item())
    for level in ("top", "bottom"):
        codes = getattr(result, level).codes
        size = vqgan.shape.codebook_size
        assert figures[f"usage_{level}"] == pytest.approx(len(codes.unique()) / size)


def test_measuring_changes_nothing(vqgan, frames):
    before = {name: tensor.clone() for name, tensor in vqgan.state_dict().items()}
    measure_health(vqgan, [frames])
    assert all(torch.equal(tensor, before[name]) for name, tensor in vqgan.state_dict().items())


GOOD = {"psnr": 30.0, "psnr_top": 25.0, "usage_top": 0.9, "usage_bottom": 0.9}


@pytest.fixture
def gates(params):
    return params.gates.model_copy(
        update={"min_psnr": 25.0, "min_psnr_top": 20.0, "min_usage": 0.5, "strict": False}
    )


def test_good_figures_pass_in_silence(gates, capsys):
    assert check_gates(GOOD, gates) == []
    assert check_gates(GOOD | {"psnr": 25.0}, gates) == []
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "value", "key"),
    [
        ("psnr", 24.9, "vqgan.gates.min_psnr = 25"),
        ("psnr_top", 19.0, "vqgan.gates.min_psnr_top = 20"),
        ("usage_top", 0.4, "vqgan.gates.min_usage = 0.5"),
        ("usage_bottom", 0.4, "vqgan.gates.min_usage = 0.5"),
        ("psnr", math.nan, "vqgan.gates.min_psnr = 25"),
    ],
)
def test_a_missed_gate_warns_and_a_strict_one_stops(gates, capsys, name, value, key):
    figures = GOOD | {name: value}
    (sentence,) = check_gates(figures, gates)
    assert sentence == f"held-out {name} is {value:.3g}, below {key}"
    assert f"WARNING: health gate: {sentence}" in capsys.readouterr().err
    with pytest.raises(UserError, match=f"held-out {name} is .* below {key}"):
        check_gates(figures, gates.model_copy(update={"strict": True}))
