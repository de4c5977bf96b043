"""Muon against PyTorch's own, and the optimizer that joins it with AdamW."""

import pytest
import torch
from torch import nn

from cvg.training.muon import Muon, orthogonal
from cvg.training.optimizer import Optimizer, parameter_groups
from cvg.training.runtime import Runtime

SHAPES = ((6, 4), (4, 6), (4, 6), (5, 5), (1, 7))


def weights(shapes=SHAPES, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(*shape, generator=rng)) for shape in shapes]


def take_steps(optimizer, parameters, number=4):
    for seed in range(number):
        gradients = weights([p.shape for p in parameters], seed=10 + seed)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = torch.empty_like(parameter).copy_(gradient.detach())
        optimizer.step()


def test_steps_are_those_of_pytorch():
    ours, theirs = weights(), weights()
    settings = {"lr": 0.03, "weight_decay": 0.1, "momentum": 0.9}
    take_steps(Muon(ours, **settings, dtype=torch.bfloat16), ours)
    take_steps(torch.optim.Muon(theirs, **settings, adjust_lr_fn="match_rms_adamw"), theirs)
    for mine, other, before in zip(ours, theirs, weights(), strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-5)
        assert (mine - before).abs().max() > 0.01


def test_single_precision_gives_the_same_but_for_rounding():
    single, half = weights(), weights()
    take_steps(Muon(single, lr=0.03, weight_decay=0.1), single)
    take_steps(Muon(half, lr=0.03, weight_decay=0.1, dtype=torch.bfloat16), half)
    for one, other in zip(single, half, strict=True):
        # Four steps of about 0.2 * 0.03 each.
        torch.testing.assert_close(one, other, rtol=0, atol=0.003)
        assert not torch.equal(one, other)


@pytest.mark.parametrize("shape", [(3, 8), (8, 3), (5, 5)])
def test_singular_vectors_stay_and_singular_values_become_alike(shape):
    matrices = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    for matrix, found in zip(matrices, orthogonal(matrices), strict=True):
        left, values, right = torch.linalg.svd(matrix, full_matrices=False)
        turned = left.T @ found @ right.T
        assert values.max() / values.min() > 1.5
        assert torch.allclose(turned, turned.diag().diag(), atol=1e-4)
        assert turned.diag().min() > 0.6
        assert turned.diag().max() < 1.3


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", [(4, 3, 2, 2), (20, 3, 2, 2)], ids=["wide", "tall"])
def test_a_kernel_is_the_matrix_that_maps_patches_to_outputs(shape, layout):
    (kernel,) = weights([shape])
    matrix = nn.Parameter(kernel.detach().flatten(1).clone())
    kernel = nn.Parameter(kernel.detach().to(memory_format=layout))
    for parameter in (kernel, matrix):
        take_steps(Muon([parameter], lr=0.1, weight_decay=0.0), [parameter], number=2)
    assert kernel.is_contiguous(memory_format=layout)
    assert torch.allclose(kernel.flatten(1), matrix, atol=1e-5)


def test_matrices_of_one_shape_may_be_treated_in_parts(monkeypatch):
    found = []
    for together in (2**24, 1):
        monkeypatch.setattr("cvg.training.muon.TOGETHER", together)
        found.append(weights())
        take_steps(Muon(found[-1], lr=0.1, weight_decay=0.1), found[-1])
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_weights_without_a_gradient_stay():
    still, moving = weights([(3, 3), (3, 3)])
    before = [weight.detach().clone() for weight in (still, moving)]
    moving.grad = torch.ones(3, 3)
    Muon([still, moving], lr=0.1, weight_decay=0.5).step()
    assert torch.equal(still, before[0])
    assert not torch.equal(moving, before[1])


def test_a_closure_computes_the_gradients():
    (weight,) = weights([(3, 3)])
    optimizer = Muon([weight], lr=0.1, weight_decay=0.0)

    def closure():
        loss = weight.square().sum()
        loss.backward()
        return loss.item()

    before = weight.square().sum().item()
    assert optimizer.step(closure) == before
    assert weight.square().sum() < before


@pytest.fixture
def build(toys):
    """A model whose middle matrix Muon may take, and its optimizer."""

    def make(*, precision="fp32", scale=2.5):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 2))
        changes = {"muon_scale": scale, "weight_decay": 0.0}
        params = toys.toy_params().vqgan.model_copy(update=changes)
        runtime = Runtime(device=torch.device("cpu"), precision=precision)
        return model, Optimizer(model, [model[1].weight], params, runtime)

    return make


def moved(model, optimizer):
    """How far a step at gradients of one moves each parameter."""
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return {n: (p - before[n]).abs().mean().item() for n, p in model.named_parameters()}


def test_each_parameter_moves_once_at_its_learning_rate(build):
    model, optimizer = build()
    optimizer.set_learning_rate(0.01)
    steps = moved(model, optimizer)
    # A gradient of ones has one singular value; its step is 0.7 to 1.2 divided by its 8 rows.
    muon = steps.pop("1.weight")
    assert muon == pytest.approx(2.5 * 0.01 * 0.2 * 8**0.5 / 8, rel=0.35)
    assert steps == pytest.approx(dict.fromkeys(steps, 0.01), rel=1e-4)


def test_without_a_scale_adamw_takes_all(build):
    model, optimizer = build(scale=None)
    optimizer.set_learning_rate(0.01)
    steps = moved(model, optimizer)
    assert steps == pytest.approx(dict.fromkeys(steps, 0.01), rel=1e-4)
    assert set(optimizer.state_dict()) == {"adamw"}


def test_the_machine_says_in_which_precision_matrices_become_orthogonal(build):
    found = {}
    for precision in ("fp32", "bf16"):
        model, optimizer = build(precision=precision)
        optimizer.set_learning_rate(0.01)
        found[precision] = moved(model, optimizer)
    single, half = (found[precision].pop("1.weight") for precision in ("fp32", "bf16"))
    assert single != half
    assert single == pytest.approx(half, rel=0.05)
    assert found["fp32"] == found["bf16"]


def test_gradients_are_let_go_of(build):
    model, optimizer = build()
    moved(model, optimizer)
    optimizer.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_parameter_groups_hold_every_parameter_once():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.Linear(4, 4), nn.Embedding(5, 4)
    )
    model[2].bias.requires_grad_(False)
    decayed, others = parameter_groups(model, weight_decay=0.3, but=[model[0].weight])
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.3, 0.0)
    found = [id(parameter) for group in (decayed, others) for parameter in group["params"]]
    left = [p for p in model.parameters() if p.requires_grad and p is not model[0].weight]
    assert sorted(found) == sorted(id(p) for p in left)
    assert {id(p) for p in decayed["params"]} == {id(model[i].weight) for i in (2, 3)}
