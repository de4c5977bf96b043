"""Pretraining of the critic: what it comes to tell apart, and that it can be repeated."""

import pytest
import torch

from cvg.critic.corruptions import CORRUPTIONS
from cvg.critic.store import load_critic, save_critic
from cvg.critic.train import collect_told, take_over, train_critic
from cvg.errors import UserError
from cvg.training.checkpoint import Checkpoints
from cvg.training.loop import Surroundings
from cvg.training.runtime import Runtime
from cvg.training.weights import hash_weights
from cvg.vqgan.store import hash_vqgan

CPU = torch.device("cpu")


@pytest.fixture
def run(toys, store):
    def run(*, seed=0, rate=1e-3, start=None, log=lambda row, step: None, **changes):
        params = toys.toy_params()
        around = Surroundings(
            learning_rate=rate,
            seed=seed,
            runtime=Runtime(device=CPU),
            log=log,
            checkpoints=changes.pop("checkpoints", None),
        )
        return train_critic(
            store,
            toys.toy_vqgan().requires_grad_(False),
            params.critic.model_copy(update=changes),
            params.transformer.conditions,
            around,
            start=start,
        )

    return run


def test_the_same_seed_gives_the_same_weights_to_the_bit(run):
    first = run()
    torch.rand(3)  # what else was drawn in the process plays no part
    again, other = run(), run(seed=1)
    hashes = [hash_weights(result.critic.model) for result in (first, again, other)]
    assert hashes[0] == hashes[1] != hashes[2]
    assert first.trained.history.rows == again.trained.history.rows


@pytest.mark.parametrize("seen", ["pixels", "codes"])
def test_all_figures_are_there(run, seen):
    figures = run(input=seen).trained.best
    areas = {f"auc_{kind}" for kind in CORRUPTIONS}
    assert set(figures) == {"cross_entropy", "auc"} | areas
    assert figures["auc"] == pytest.approx(sum(figures[name] for name in areas) / len(areas))


def test_a_run_goes_on_where_it_was_interrupted(run, tmp_path):
    def stop(row, step):
        if step == 4:
            raise InterruptedError

    checkpoints = Checkpoints(tmp_path)
    with pytest.raises(InterruptedError):
        run(checkpoints=checkpoints, log=stop, validate_every=2)
    resumed = run(checkpoints=checkpoints, validate_every=2)
    assert resumed.trained.resumed_from == 2
    assert hash_weights(resumed.critic.model) == hash_weights(run(validate_every=2).critic.model)


def test_the_vqgan_stays_as_it_was(toys, store):
    vqgan = toys.toy_vqgan().requires_grad_(False)
    before = hash_vqgan(vqgan)
    params = toys.toy_params()
    around = Surroundings(
        learning_rate=1e-3, seed=0, runtime=Runtime(device=CPU), log=lambda row, step: None
    )
    train_critic(store, vqgan, params.critic, params.transformer.conditions, around)
    assert hash_vqgan(vqgan) == before


def test_muon_takes_the_matrices_of_the_layers(toys, run, monkeypatch):
    taken = toys.matrices_for_muon(monkeypatch, "cvg.critic.train", run)
    parts = ("self_attn.in_proj_weight", "self_attn.out_proj.weight", "linear1.weight")
    layers = range(toys.toy_params().critic.layers)
    expected = {f"encoder.layers.{n}.{p}" for n in layers for p in (*parts, "linear2.weight")}
    assert taken == expected


def test_pretrained_weights_are_taken_over_where_they_fit(run):
    trained = run().critic
    first = trained.model
    begun = run(start=trained, rate=1e-9, ema_decay=0.0).critic.model
    assert torch.allclose(begun.stem[1].weight, first.stem[1].weight, atol=1e-5)
    other = run(conditions=[]).critic.model
    assert take_over(other, first, conditions=True) == []  # all that it has, the other has too
    of_conditions = {name for name in first.state_dict() if name.startswith("condition.")}
    assert set(take_over(first, other, conditions=True)) == of_conditions
    again = run().critic.model
    assert set(take_over(again, first, conditions=False)) == of_conditions


def test_what_is_told_is_what_is_asked_and_the_videos_have(toys, store):
    params = toys.toy_params()
    both = params.critic.model_copy(update={"conditions": ["caption", "motion"]})
    assert collect_told(store, both, params.transformer.conditions).kinds == ("caption", "motion")
    none = params.critic.model_copy(update={"conditions": []})
    assert collect_told(store, none, params.transformer.conditions).kinds == ()


def test_what_is_saved_judges_alike(run, tmp_path, toys):
    trained = run(input="pixels").critic
    save_critic(tmp_path, trained)
    loaded = load_critic(tmp_path)
    assert loaded.vqgan_hash == "toy"
    assert loaded.input == trained.input
    assert loaded.conditioning == trained.conditioning
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
    clips = torch.randn(2, 5, 3, toys.SIZE, toys.SIZE, generator=toys.rng())
    told = trained.conditioning.gather(toys.toy_conditions()[:2], frames=5)
    judged, expected = (one.model(clips, told).clips for one in (loaded, trained))
    assert torch.allclose(judged, expected, atol=1e-6)


def test_a_folder_of_something_else_is_refused(toys, tmp_path):
    from cvg.vqgan.store import save_vqgan

    save_vqgan(tmp_path, toys.toy_vqgan())
    with pytest.raises(UserError, match="holds a vqgan, expected a critic"):
        load_critic(tmp_path)
