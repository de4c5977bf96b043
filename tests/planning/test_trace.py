"""What a step without data costs is what one with data does."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.plan import CASES, compare, take_alone
from cvg.codes.layout import layout_of
from cvg.planning.trace import Ledger, count_by_part, trace, without_data
from cvg.training.loop import Surroundings
from cvg.training.runtime import Runtime
from cvg.transformer.conditioning import collect_conditioning
from cvg.transformer.model import Transformer
from cvg.transformer.train import LevelTask, transformer_shape
from cvg.vqgan.tokenize import code_grids

RUNTIME = Runtime(device=torch.device("cpu"))
NEAR = 0.15


def test_ledger_counts_each_storage_once_while_it_lives():
    with Ledger() as ledger:
        first = torch.zeros(1000)
        view = first[10:]
        assert ledger.now == 4000
        second = first + 1
        assert ledger.now == 8000
        del first
        assert ledger.now == 8000  # the view keeps it
        del view, second
        assert ledger.now == 0
    assert ledger.most == 8000


def test_without_data_nothing_is_allocated():
    with without_data() as ledger:
        giant = torch.zeros(10**12)
        assert ledger.now == 4 * 10**12
        assert bool((giant > 0).all())  # what nobody can know is answered as in an ordinary step
        assert giant.sum().item() == 1.0


def test_what_is_set_aside_is_counted_apart():
    with Ledger() as ledger:
        kept, other = torch.zeros(1000), torch.zeros(100)
        ledger.restart()
        ledger.set_aside(kept)
        ledger.set_aside(kept)
        more = torch.zeros(10)
        assert (ledger.most, ledger.most_besides) == (4440, 4400)
        assert ledger.restart() == 4440
        assert ledger.most_besides == 440
        del kept, more
        assert ledger.restart() == ledger.most_besides == 400
    assert other.numel() == 100


@pytest.mark.parametrize("level", ["top", "bottom"])
def test_layers_have_the_numbers_of_the_textbook(networks, level):
    cost = trace(lambda: networks().transformer(level, 1), RUNTIME)
    width, layers = 128, 4
    # Queries, keys, values, output; two norms; a network four times as wide.
    assert cost.parameters["blocks"] == layers * (12 * width**2 + 9 * width)


@pytest.mark.parametrize("order", ["raster", "parallel"])
def test_operations_are_near_those_of_the_textbook(networks, order):
    """Two for each weight and place, four for each width of each pair of places and layer."""
    made = networks(
        f"transformer.order={order}",
        "transformer.top.width=512",
        "transformer.top.heads=8",
        "transformer.keep_first=false",
        "vqgan.codebook_size=16",
    )
    cost = trace(lambda: made.transformer("top", 4), RUNTIME)
    own, prefix = made.params.transformer.top, made.conditioning().vocabulary.length
    places = 16 * own.clip_frames * (2 if order == "parallel" else 1)
    layers = 12 * own.layers * own.width**2 * (places + prefix)
    # A 3x3 convolution of the frame before and, in raster order, the four neighbours.
    near = (9 + 4 * (order == "raster")) * own.width**2 * places
    pairs = own.layers * own.width * places * (places + prefix)
    forward = 4 * (2 * (layers + near) + 4 * pairs)
    assert cost.forward == pytest.approx(forward, rel=NEAR)
    assert cost.backward == pytest.approx(2 * forward, rel=NEAR)


def test_costs_grow_with_the_batch_as_they_should(networks):
    one, four = (trace(lambda n=n: networks().transformer("top", n), RUNTIME) for n in (1, 4))
    assert four.parameters == one.parameters
    assert four.gradients == one.gradients
    assert one.gradients == pytest.approx(4 * sum(one.parameters.values()), rel=0.001)
    assert four.forward == pytest.approx(4 * one.forward, rel=0.02)
    assert four.saved == pytest.approx(4 * one.saved, rel=0.1)
    assert four.update == one.update


def test_half_precision_keeps_little_more_than_half(networks):
    costs = [
        trace(lambda made=made: made.transformer("bottom", 8), made.runtime)
        for made in (networks(precision="fp32"), networks(precision="bf16"))
    ]
    full, half = costs
    assert 0.5 < half.saved / full.saved < 0.75
    assert half.weights == full.weights
    assert half.forward == full.forward


def test_gradients_of_accumulated_batches_are_held_from_the_start(networks):
    once, twice = (
        trace(
            lambda n=n: networks(f"transformer.top.accumulate={n}").transformer("top", 1), RUNTIME
        )
        for n in (1, 2)
    )
    # A little more: what Python has not let go of yet counts too.
    assert once.peak < twice.peak <= 1.01 * (once.peak + once.gradients)
    assert once.saved == twice.saved
    # Without them both are alike.
    assert twice.peak == pytest.approx(twice.ungraded + twice.gradients, rel=0.01)
    assert twice.ungraded == pytest.approx(once.ungraded, rel=0.01)
    assert once.ungraded <= once.peak


def test_muon_computes_with_no_more_for_more_layers(networks, monkeypatch):
    monkeypatch.setattr("cvg.training.muon.TOGETHER", 4 * 128**2)
    few, many = (
        trace(lambda n=n: networks(f"transformer.top.layers={n}").transformer("top", 1), RUNTIME)
        for n in (4, 12)
    )
    assert many.update == pytest.approx(3 * few.update)
    assert many.update_peak == pytest.approx(few.update_peak, rel=0.01)


def test_optimizers_keep_one_moment_of_matrices_and_two_of_the_rest(networks):
    muon = trace(lambda: networks().transformer("top", 1), RUNTIME)
    adamw = trace(
        lambda: networks("transformer.top.muon_scale=null").transformer("top", 1), RUNTIME
    )
    matrices = 4 * 12 * 4 * 128**2  # bytes of the matrices of four layers
    assert adamw.optimizer == pytest.approx(2 * adamw.gradients, rel=0.001)
    assert adamw.optimizer - muon.optimizer == pytest.approx(matrices, rel=0.001)
    assert adamw.update == 0 < muon.update


def test_frozen_networks_are_memory_and_not_weights(networks):
    without, with_ = (
        trace(lambda c=c: networks(f"vqgan.comparator={c}").vqgan(4), RUNTIME)
        for c in ("none", "alex")
    )
    assert without.weights == with_.weights
    assert with_.beside - without.beside == pytest.approx(4 * 2_470_848, rel=0.01)  # AlexNet
    assert with_.forward > without.forward


def test_discriminator_is_trained_on_the_side(networks):
    off, on = (
        trace(
            lambda e=e: networks(f"vqgan.discriminator.enabled={e}", "vqgan.comparator=none").vqgan(
                4
            ),
            RUNTIME,
        )
        for e in ("false", "true")
    )
    assert on.parameters == off.parameters
    assert on.forward > 1.2 * off.forward
    assert on.beside > off.beside


TOY_GRIDS = (
    "extract.frame_size=32",
    "vqgan.codebook_size=12",
    "vqgan.code_dim=4",
    "transformer.conditions.goal_share=0.0",
    "transformer.conditions.dropout.actions=1.0",
    "transformer.conditions.dropout.map=1.0",
)


@pytest.mark.parametrize("order", ["raster", "parallel"])
def test_the_step_is_that_of_the_trainer(networks, toys, order, tmp_path):
    made = networks(f"transformer.order={order}", *TOY_GRIDS)
    assert code_grids(made.vqgan_shape) == toys.GRIDS
    params, own = made.params.transformer, made.params.transformer.bottom
    store = toys.write_codes(tmp_path / "codes")
    conditioning = collect_conditioning(store, params.conditions, clip_frames=own.clip_frames)
    shape = transformer_shape(params, own, conditioning, code_dim=toys.CODE_DIM)
    model = Transformer(shape, layout_of("bottom", store.grids))
    task = LevelTask(
        store=store,
        level="bottom",
        params=params,
        around=Surroundings(learning_rate=0.1, seed=0, runtime=RUNTIME, log=lambda *_: None),
        conditioning=conditioning,
        model=model,
    )
    with FlopCounterMode(display=False) as forward:
        loss = task.train_step(0, 0).loss
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    cost = trace(lambda: made.transformer("bottom", own.batch_size), RUNTIME)
    assert cost.forward == pytest.approx(forward.get_total_flops(), rel=NEAR)
    assert cost.backward == pytest.approx(backward.get_total_flops(), rel=NEAR)
    words = count_by_part(model).pop("prefix_embedding")
    assert sum(cost.parameters.values()) - cost.parameters["prefix_embedding"] == (
        sum(count_by_part(model).values()) - words
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "number",
    [
        pytest.param(number, id=case.name, marks=[pytest.mark.ci] if number % 4 == 0 else [])
        for number, case in enumerate(CASES)
    ],
)
def test_predicted_is_measured(number):
    """Numbers exactly; operations, bytes for the gradient and bytes at the worst moment to 15 %."""
    case = CASES[number]
    ratios = compare(trace(case.build, RUNTIME), take_alone(number))
    assert ratios.pop("parameters") == 1
    for name, ratio in ratios.items():
        assert ratio == pytest.approx(1, abs=NEAR), f"{name} of {case.name}"
