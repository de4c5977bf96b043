"""PyTorch's AdamW, which it equals bit by bit, without its compiler."""

import copy
import subprocess
import sys

import torch

from cvg.training.adamw import AdamW

# All that training asks of an optimizer.
SCRIPT = """
import sys, torch
from cvg.training.adamw import AdamW
from cvg.training.muon import Muon
weight = torch.nn.Parameter(torch.ones(3, 2))
for kind in (AdamW, Muon):
    optimizer = kind([weight], lr=0.1, weight_decay=0.1)
    weight.sum().backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    optimizer.load_state_dict(optimizer.state_dict())
print(*sorted({"torch._dynamo", "torch._inductor", "sympy"} & set(sys.modules)))
"""


def trained(kind, *, steps=4, reload_at=2):
    torch.manual_seed(0)
    model = torch.nn.Linear(5, 3)
    groups = [{"params": [model.weight], "weight_decay": 0.1}, {"params": [model.bias]}]
    optimizer = kind(groups, lr=0.05, betas=(0.9, 0.99))
    for step in range(steps):
        if step == reload_at:
            state = copy.deepcopy(optimizer.state_dict())
            optimizer = kind(groups, lr=1.0)
            optimizer.load_state_dict(state)
        model(torch.randn(8, 5)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        assert model.weight.grad is None
    return model.state_dict(), optimizer.state_dict()


def test_steps_and_state_are_those_of_pytorch():
    ours, theirs = (trained(kind) for kind in (AdamW, torch.optim.AdamW))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_a_closure_gives_the_loss_and_the_gradients():
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = AdamW([weight], lr=0.1)

    def closure():
        loss = weight.sum()
        loss.backward()
        return loss.item()

    assert optimizer.step(closure) == 2
    assert (weight < 1).all()


def test_the_compiler_is_not_loaded():
    command = [sys.executable, "-c", SCRIPT]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "\n"
