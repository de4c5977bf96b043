"""What only a graphics card can show: the same logits, cached, recorded or not; training runs."""

from dataclasses import replace

import pytest
import torch

from cvg.training.loop import Surroundings
from cvg.training.runtime import Runtime
from cvg.transformer.decoder import Decoder
from cvg.transformer.graph import GraphSight
from cvg.transformer.packing import pack
from cvg.transformer.train import train_transformer

pytestmark = pytest.mark.gpu

DEVICE = torch.device("cuda")


@pytest.mark.parametrize("order", ["raster", "parallel"])
@pytest.mark.parametrize("traits", [{}, {"precision": "bf16"}], ids=str)
def test_training_runs(toys, tmp_path, order, traits):
    store = toys.write_codes(tmp_path / "codes")
    params = toys.toy_params().transformer.model_copy(update={"order": order})
    for level in ("top", "bottom"):
        runtime = Runtime(device=DEVICE, **traits)
        around = Surroundings(
            learning_rate=1e-3, seed=0, runtime=runtime, log=lambda row, step: None
        )
        run = train_transformer(store, level, params, around)
        assert {p.device.type for p in run.transformer.model.parameters()} == {"cuda"}
        assert run.trained.best["nll"] < 10


def test_writing_equals_one_pass_and_the_cpu(toys, layout, make_sequence):
    model = toys.toy_transformer(layout, keep_first=True)
    frames = 15
    sequence = make_sequence(layout, frames=frames)
    conditions = toys.gathered(toys.toy_conditions(frames), frames)
    goal = toys.toy_goal(layout, time=frames - 1)
    with torch.no_grad():
        expected = model(sequence, conditions, goal=goal)
        model.to(DEVICE)
        there = replace(goal, codes=goal.codes.to(DEVICE))
        found = model(sequence.to(DEVICE), conditions.to(DEVICE), goal=there)
    torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=1e-9)
    decoder = Decoder(pack(model, "fp16"), conditions.to(DEVICE), goal=there)
    decoder.prefill(sequence[:, :4].to(DEVICE))
    for frame in range(4, frames):
        decoder.begin()
        logits = decoder.give(sequence[:, frame].to(DEVICE))[:, layout.num_given :]
        torch.testing.assert_close(logits, found[:, frame], rtol=0, atol=1e-9)


def test_a_recorded_step_writes_the_same(toys, layout, make_sequence, monkeypatch):
    """Recorded in the first frame, in the one after it, and after `take`; replayed in between."""
    frames, given = 8, layout.num_given
    model = toys.toy_transformer(layout, keep_first=True).to(DEVICE)
    sequence = make_sequence(layout, frames=frames).to(DEVICE)
    conditions = toys.gathered(toys.toy_conditions(frames), frames).to(DEVICE)
    goal = toys.toy_goal(layout, time=frames - 1)
    there = replace(goal, codes=goal.codes.to(DEVICE))
    logits = []
    for setting in ("0", "1"):
        monkeypatch.setenv("CVG_CUDA_GRAPH", setting)
        decoder, found = Decoder(pack(model, "fp32"), conditions, goal=there), []
        assert isinstance(decoder._sight, GraphSight) == (setting == "1")
        rows = torch.arange(3, device=DEVICE)
        for frame in sequence.unbind(1):
            if decoder.frame == 4:
                rows = torch.tensor([2, 0, 0, 1], device=DEVICE)
                decoder.take(rows)
            decoder.begin()
            if given:
                decoder.give(frame[rows, :given])
            for codes in frame[rows, given:].unbind(1):
                found.append(decoder.peek())
                decoder.put(codes)
        logits.append(torch.cat(found))
    torch.testing.assert_close(*logits, rtol=0, atol=1e-9)
