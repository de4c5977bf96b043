"""How ranks share a batch: whoever is asked, each row falls to one of them, and is the same."""

import pytest
import torch

from cvg.errors import UserError
from cvg.frames.batches import FrameBatches
from cvg.training.device import chosen_device
from cvg.training.group import Group, joined
from cvg.training.ranks import ALONE, require_share
from cvg.training.runtime import Runtime, chosen_runtime
from cvg.vqgan.augment import augment
from cvg.vqgan.diffaugment import diffaugment


def shares(total, count, together=1):
    return [Group(number=n, count=count).share(total, together=together) for n in range(count)]


def put_together(parts, together=1):
    """Lay rows of several ranks side by side, as a batch of all."""
    groups = [part.unflatten(0, (-1, together)) for part in parts]
    return torch.stack(groups, dim=1).flatten(0, 2)


@pytest.mark.parametrize(("count", "together"), [(2, 1), (2, 2), (3, 2), (6, 1)])
def test_every_row_falls_to_one_rank_and_neighbours_stay_together(count, together):
    rows = [share.rows for share in shares(12, count, together)]
    assert sorted(torch.cat(rows).tolist()) == list(range(12))
    assert {len(own) for own in rows} == {12 // count}
    for own in rows:
        assert own.tolist() == sorted(own.tolist())
        pairs = own.view(-1, together)
        assert torch.equal(pairs, pairs[:, :1] + torch.arange(together))
        assert (pairs[:, 0] % together == 0).all()
    assert torch.equal(put_together(rows, together), torch.arange(12))


def test_one_process_has_all_rows():
    assert torch.equal(ALONE.share(5).rows, torch.arange(5))
    assert not ALONE.mean(torch.ones(2, requires_grad=True)).requires_grad


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("successive", [1, 2])
def test_frames_and_their_changes_do_not_depend_on_the_ranks(toys, tmp_path, count, successive):
    store = toys.write_frames(tmp_path / "frames")
    batches = FrameBatches(store, "train", successive=successive)

    def draw(share=None):
        rng = toys.rng(3)
        frames = batches.random(8, rng=rng, share=share)
        groups = share and share.groups(successive)
        others = {"successive": successive, "share": groups}
        frames = augment(frames, flip=True, shift=2, rng=rng, **others)
        return diffaugment(frames, rng=rng, together=successive, share=groups)

    parts = [draw(share) for share in shares(8, count, together=2)]
    assert torch.equal(put_together(parts, together=2), draw())


def test_a_batch_that_does_not_divide_is_refused():
    require_share(8, Group(number=0, count=2), field="batch_size", together=2)
    require_share(7, ALONE, field="batch_size")
    with pytest.raises(UserError, match=r"vqgan.batch_size: found 6, .* multiple of 4"):
        require_share(6, Group(number=0, count=2), field="vqgan.batch_size", together=2)


def test_ranks_are_no_trait_of_a_machine():
    """A run may go on with another number of processes."""
    device = torch.device("cpu")
    several = Runtime(device=device, ranks=Group(number=1, count=2), strategy="fsdp2")
    assert several.traits() == Runtime(device=device).traits()


@pytest.mark.parametrize("value", ["soon", "0", "-1", "inf", "nan"])
def test_a_limit_that_is_no_number_of_seconds_is_refused(monkeypatch, value):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("CVG_COLLECTIVE_SECONDS", value)
    with pytest.raises(UserError, match=f"CVG_COLLECTIVE_SECONDS={value}: expected"):
        chosen_runtime()


def test_an_unknown_strategy_is_refused(monkeypatch):
    monkeypatch.setenv("CVG_STRATEGY", "fsdp")
    with pytest.raises(UserError, match="CVG_STRATEGY=fsdp: expected one of ddp, fsdp2"):
        chosen_runtime()


@pytest.mark.parametrize(
    "found", ["[../gloo/transport/tcp/pair.cc:553] Connection closed by peer", "NCCL error: 6"]
)
def test_a_rank_that_is_gone_is_told_of_in_plain_words(monkeypatch, found):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(UserError, match="another of the 2 ranks has ended"), joined():
        raise RuntimeError(found)


@pytest.mark.parametrize(("world", "found"), [("1", "gloo"), ("2", "shapes do not match")])
def test_other_errors_stay_what_they_are(monkeypatch, world, found):
    monkeypatch.setenv("WORLD_SIZE", world)
    with pytest.raises(RuntimeError, match=found), joined():
        raise RuntimeError(found)


def test_a_rank_has_the_cuda_device_of_its_number(monkeypatch):
    chosen = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(torch, "empty", lambda *_, **__: None)
    monkeypatch.setenv("CVG_DEVICE", "cuda")
    assert chosen_device() == torch.device("cuda")
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert chosen_device() == torch.device("cuda:3")
    assert chosen == [torch.device("cuda:3")]
