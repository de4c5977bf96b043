"""What is trained on two ranks: the same as on one up to rounding, the same on both to the bit."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

pytestmark = [pytest.mark.slow, pytest.mark.ci]

JOBS = Path(__file__).with_name("jobs.py")
# On one rank and on two, nothing is drawn apart.
ALIKE = ("raster", "parallel", "vqgan", "restarts", "critic", "pixels", "teach", "reward")
# Both ways sum in the same order.
SAME_BITS = ("uneven", "raster", "dropped", "vqgan", "restarts", "critic")
# They do not: gradients are added up over several passes, or their norm is that of two halves.
CLOSE = ("parallel", "clipped", "teach", "reward")
OTHERS = ("looks", "gathered", "halved")


@pytest.fixture(scope="session")
def two(start, tmp_path_factory):
    """What two ranks trained, whole (ddp) and in parts (fsdp2)."""
    folder = tmp_path_factory.mktemp("two")
    whole = sorted({*ALIKE, *SAME_BITS, *CLOSE, *OTHERS})
    parts = [f"{name}@fsdp2" for name in (*SAME_BITS, *CLOSE, *OTHERS)]
    status, out = start(JOBS, folder, *whole, *parts).finish()
    assert status == 0, out
    # Of two ranks one speaks.
    assert out.count("train-critic: 6/6") == 3
    return folder


@pytest.fixture(scope="session")
def one(start, tmp_path_factory):
    """What one process trained."""
    folder = tmp_path_factory.mktemp("one")
    status, out = start(JOBS, folder, *ALIKE, "looks", ranks=1).finish()
    assert status == 0, out
    return folder


def rows(folder, name):
    return json.loads((folder / f"{name}.json").read_text())


def largest_difference(folder, name, others, other):
    ours, theirs = (
        load_file(path)
        for path in (folder / f"{name}.safetensors", others / f"{other}.safetensors")
    )
    assert ours.keys() == theirs.keys()
    pairs = [(ours[key].double(), theirs[key].double()) for key in ours]
    return max((first - second).abs().max().item() for first, second in pairs)


@pytest.mark.parametrize("name", ALIKE)
def test_two_ranks_train_what_one_does(one, two, name):
    # In the critics, some weights have next to no gradient, and Adam takes steps along its sign.
    most = 3e-5 if name in ("critic", "pixels") else 2e-6
    assert largest_difference(one, name, two, name) < most
    for ours, theirs in zip(rows(one, name), rows(two, name), strict=True):
        # The gains of a reward are small differences of large sums.
        assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-4 if name == "reward" else 1e-6)


@pytest.mark.parametrize("name", [*ALIKE, *SAME_BITS, *CLOSE, *(f"{name}@fsdp2" for name in CLOSE)])
def test_both_ranks_have_the_same_bits(two, name):
    """Codebooks, running sums and adversaries' influence among them."""
    assert (two / f"{name}.rank0").read_text() == (two / f"{name}.rank1").read_text()


@pytest.mark.parametrize("name", SAME_BITS)
def test_weights_in_parts_give_the_same_bits(two, name):
    assert largest_difference(two, name, two, f"{name}@fsdp2") == 0
    assert (two / f"{name}@fsdp2.rank0").read_text() == (two / f"{name}.rank0").read_text()


@pytest.mark.parametrize("name", CLOSE)
def test_weights_in_parts_differ_by_rounding_alone_where_sums_have_another_order(two, name):
    assert largest_difference(two, name, two, f"{name}@fsdp2") < 1e-6


def test_ranks_leave_out_a_batch_together_and_follow_one_clock(two):
    assert sum(row.get("skipped_batches", 0) for row in rows(two, "uneven")) == 1
    assert rows(two, "uneven")[-1]["step"] == 8


def test_codes_were_restarted_at_all(two):
    assert max(row["restarted_top"] for row in rows(two, "restarts") if "loss" in row) > 0


@pytest.mark.parametrize("strategy", ["", "@fsdp2"])
def test_ranks_that_share_a_look_find_what_one_does_to_the_last_bit(one, two, strategy):
    """A number of one of them that is not finite among it."""
    names = ("held_out_sum", "held_out_count")
    alone, shared = (
        [[row[name] for name in names if name in row] for row in rows(folder, name_)]
        for folder, name_ in ((one, "looks"), (two, f"looks{strategy}"))
    )
    assert str(shared) == str(alone)
    assert [row[1:] for row in shared] == [[20], [], [20]]


def test_of_weights_in_parts_one_layer_is_gathered_at_a_time(two):
    found = {name: rows(two, name)[-1] for name in ("gathered", "gathered@fsdp2")}
    kind = {"type": "torch.float32"}
    assert found["gathered"] == {"forward": 8, "backward": 8} | kind
    assert found["gathered@fsdp2"] == {"forward": 1, "backward": 1} | kind
    assert largest_difference(two, "gathered", two, "gathered@fsdp2") == 0


def test_in_half_precision_layers_are_gathered_so(two):
    whole, parts = (rows(two, name) for name in ("halved", "halved@fsdp2"))
    assert (whole[-1]["type"], parts[-1]["type"]) == ("torch.float32", "torch.bfloat16")
    # Norms and biases are rounded too.
    assert largest_difference(two, "halved", two, "halved@fsdp2") < 1e-3
    for ours, theirs in zip(whole[:-1], parts[:-1], strict=True):
        assert ours["held_out_nll"] == pytest.approx(theirs["held_out_nll"], rel=1e-3)
