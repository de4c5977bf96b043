"""Plans of whole runs: what fits, what should change, what a second of video costs."""

import re
from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.plan_ranks import CASES, compare, run
from cvg.planning.memory import STRATEGIES, USABLE, checkpoint_bytes, memory_of
from cvg.planning.plan import advice, plan_stages
from cvg.planning.sampling import sampling_cost
from cvg.planning.storage import storage_of
from cvg.planning.trace import count_by_part, trace
from cvg.training.checkpoint import Checkpoints
from cvg.training.group import BUCKET
from cvg.training.runtime import Runtime
from cvg.transformer.decoder import Decoder
from cvg.transformer.packing import pack
from cvg.vqgan.tokenize import code_grids

RUNTIME = Runtime(device=torch.device("cpu"))
PRESETS = ["quick", "demo", "shapes", "large", "huge"]


@pytest.mark.parametrize("preset", PRESETS)
def test_networks_of_every_preset_are_built_without_memory(networks, preset):
    on_meta = networks(preset=preset, device="meta")
    models = [on_meta.make_vqgan()]
    models += [on_meta.make_transformer(level) for level in on_meta.params.vqgan.levels]
    for model in models:
        assert all(one.is_meta for one in [*model.parameters(), *model.buffers()])
    millions = {"quick": 0.22, "demo": 2.4, "shapes": 2.4, "large": 195, "huge": 930}
    in_transformers = sum(sum(count_by_part(model).values()) for model in models[1:])
    assert 1 < in_transformers / (1e6 * millions[preset]) < 1.1


@pytest.fixture(scope="module")
def cost():
    """Of a step of a transformer."""
    from pathlib import Path

    from cvg.params import load_params
    from cvg.planning.networks import Networks

    params = load_params(Path(__file__).resolve().parents[2] / "params.yaml")
    made = Networks(params=params, runtime=RUNTIME, words=50)
    return trace(lambda: made.transformer("top", 2), RUNTIME)


def test_one_device_holds_every_byte_once(cost):
    need = memory_of(cost, strategy="ddp", devices=1)
    work = max(cost.peak, cost.gradients + cost.update_peak)
    assert need.total == 3 * cost.weights + cost.beside + cost.optimizer + work


@pytest.mark.parametrize(
    ("largest", "copied"), [(100, 4 * BUCKET), (5 * BUCKET, 5 * BUCKET), (99 * BUCKET, 99 * BUCKET)]
)
def test_ddp_sends_gradients_in_copies_of_a_bucket_or_of_the_largest(cost, largest, copied):
    big = replace(cost, gradients=100 * BUCKET, peak=101 * BUCKET, update_peak=1, largest=largest)
    one, eight = (memory_of(big, strategy="ddp", devices=n) for n in (1, 8))
    assert one.activations == BUCKET
    assert eight.activations == copied
    assert replace(eight, activations=one.activations) == one


def test_ddp_sends_no_more_than_there_is(cost):
    small = replace(cost, peak=cost.gradients, update_peak=1)
    assert memory_of(small, strategy="ddp", devices=2).activations == cost.gradients < BUCKET


# What is in no layer has 50 bytes.
PARTS = {"weights": 1010, "buffers": 10, "layers": [400, 550], "gradients": 1000, "beside": 7}
PARTS |= {"optimizer": 2000, "ungraded": 5000, "update_peak": 1, "halved": False}


def test_fsdp2_divides_parameters_and_what_follows_them(cost):
    need = memory_of(replace(cost, **PARTS), strategy="fsdp2", devices=4)
    assert (need.weights, need.gradients, need.optimizer) == (250 + 10 + 7, 250, 500)
    assert need.copies == 2 * (250 + 10)
    assert need.activations == 5000 + 2 * 50 + 4 * 550


def test_in_half_precision_layers_are_gathered_so_and_not_copied(cost):
    need = memory_of(replace(cost, **PARTS | {"halved": True}), strategy="fsdp2", devices=4)
    assert need.activations == 5000 + 2 * 50 + 550 * 5 // 2 - 950 // 2


def test_what_has_no_layers_is_gathered_whole(cost):
    need = memory_of(replace(cost, **PARTS | {"layers": []}), strategy="fsdp2", devices=4)
    assert need.activations == 5000 + 2 * 1000


def test_on_many_devices_the_beginning_takes_most(cost):
    idle = replace(cost, **PARTS | {"ungraded": 0, "layers": [10] * 100})
    assert memory_of(idle, strategy="fsdp2", devices=1000).total == 2 * 1010 + 7
    assert memory_of(idle, strategy="fsdp2", devices=2).total > 2 * 1010 + 7


def test_a_layer_is_gathered_and_not_the_whole(networks):
    made = networks("transformer.top.layers=8")
    model = made.make_transformer("top")
    deep = trace(lambda: made.transformer("top", 1), RUNTIME)
    assert deep.layers == [4 * sum(one.numel() for one in model.layers[0].parameters())] * 8
    assert deep.weights - deep.buffers == 4 * sum(one.numel() for one in model.parameters())
    assert 0 < deep.buffers == sum(one.nbytes for one in model.buffers())
    need = memory_of(deep, strategy="fsdp2", devices=2)
    assert (
        need.activations
        < memory_of(replace(deep, layers=[]), strategy="fsdp2", devices=2).activations
    )


def test_a_checkpoint_is_as_large_as_planned(networks, tmp_path):
    def build():
        return networks("transformer.top.width=64").transformer("top", 1)

    checkpoints = Checkpoints(tmp_path)
    run(build(), RUNTIME, checkpoints)
    planned = checkpoint_bytes(trace(build, RUNTIME))
    assert planned == pytest.approx(checkpoints.newest().stat().st_size, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("number", [pytest.param(n, id=one.name) for n, one in enumerate(CASES)])
def test_two_ranks_take_the_memory_that_is_planned(number, strategy):
    assert compare(number, strategy)["ratio"] == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("devices", [1, 2])
def test_following_the_advice_makes_it_fit(networks, devices):
    def top(*changes):
        return plan_stages(networks(*changes, preset="quick"), devices=devices)[1]

    before = top("transformer.top.batch_size=64")
    memory = 0.6 * min(need.total for need in before.memory.values()) / USABLE
    (sentence,) = advice(before, memory)
    batch, accumulate = map(
        int, re.search(r"to (\d+) and raise accumulate from 1 to (\d+)", sentence).groups()
    )
    assert batch < 64 <= batch * accumulate
    after = top(f"transformer.top.batch_size={batch}", f"transformer.top.accumulate={accumulate}")
    assert after.strategy(memory) is not None


def test_what_cannot_fit_names_what_to_lower(networks):
    stage = plan_stages(networks(preset="quick"), devices=1)[1]
    (sentence,) = advice(stage, 1e6)
    assert "transformer.top.width" in sentence
    need = stage.memory["ddp"]
    held = need.total - need.activations + need.gradients  # as they are between two batches
    (sentence,) = advice(stage, (held + 1000) / USABLE)
    assert "not even one row" in sentence
    assert "transformer.top.clip_frames" in sentence


def test_batch_that_devices_cannot_divide_is_told(networks):
    stage = plan_stages(networks(preset="quick"), devices=3)[1]
    assert stage.rows == 3
    assert "transformer.top.batch_size is 8, which 3 devices" in next(advice(stage, 80e9))


def test_more_devices_take_less_time(networks):
    one, four = (plan_stages(networks(preset="quick"), devices=n)[1] for n in (1, 4))
    seconds = one.seconds(1e9, product=1e9)
    assert seconds == pytest.approx(
        20 * (one.cost.forward + one.cost.backward + one.cost.update) / 1e9
    )
    assert 0.25 * seconds < four.seconds(1e9, product=1e9) < 0.6 * seconds


@pytest.mark.parametrize("order", ["raster", "parallel"])
def test_operations_of_sampling_are_those_of_a_decoder(networks, order):
    made = networks(f"transformer.order={order}", "sample.passes=3")
    for level in sampling_cost(made).levels:
        model = made.make_transformer(level.level).eval().requires_grad_(False)
        frame = torch.zeros(1, model.layout.num_places, dtype=torch.int64)
        decoder = Decoder(pack(model, "fp32"), made.conditions(1))
        decoder.prefill(frame[:, None])
        with FlopCounterMode(display=False) as counter:
            decoder.begin()
            if order == "raster":
                if model.layout.num_given:
                    decoder.give(frame[:, : model.layout.num_given])
                for _ in range(level.codes):
                    decoder.peek()
                    decoder.put(frame[:, 0])
            else:
                hidden = torch.ones(1, level.codes, dtype=torch.bool)
                for _ in range(3):
                    decoder.look(frame, hidden)
                decoder.give(frame)
        assert level.operations == pytest.approx(counter.get_total_flops(), rel=0.01)


@pytest.mark.parametrize(
    ("packing", "of_weight", "of_kept"), [("fp16", 2, 4), ("native", 4, 4), ("native-bf16", 2, 2)]
)
def test_a_pass_reads_weights_and_what_is_in_sight(networks, packing, of_weight, of_kept):
    made = networks("transformer.keep_first=false", f"sample.packing={packing}")
    top = sampling_cost(made).levels[0]
    weights = 4 * (12 * 128**2 + 9 * 128) + 2 * 128 + (128 + 1) * (256 + 2 + 16)
    seen = made.conditioning().vocabulary.length + 4 * 16  # a window of four frames
    assert top.read == of_weight * weights + of_kept * (2 * 4 * 128 * seen)


def test_disk_holds_bytes_of_pixels_and_codes(networks):
    params = networks(preset="huge").params.extract
    grids = code_grids(networks(preset="huge").vqgan_shape)
    found = storage_of(params, grids, hours=2)
    assert found.frames == 2 * 3600 * 25
    assert found.frame_bytes == 256 * 256 * 3
    assert found.code_bytes == 2 * (64 + 256 + 1024) + 4
    slow = storage_of(params.model_copy(update={"stride": 5}), grids, hours=2)
    assert slow.frames * 5 == found.frames


def test_codes_on_disk_are_as_large_as_planned(networks, toys, tmp_path):
    from cvg.codes.store import CodeWriter

    frames = 400
    (tmp_path / "codes").mkdir()
    writer = CodeWriter(
        tmp_path / "codes", grids=toys.GRIDS, tracks=toys.TRACKS[:1], shard_frames=frames
    )
    writer.append(toys.all_codes(frames) | {"motion": toys.all_tracks(frames)["motion"]})
    planned = storage_of(networks().params.extract, toys.GRIDS, hours=1).code_bytes * frames
    written = sum(file.stat().st_size for file in (tmp_path / "codes").glob("*.safetensors"))
    assert planned <= written < planned + 2000
