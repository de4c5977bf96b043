"""Training of a transformer: its inputs, its figures, and that it can be repeated."""

import math

import numpy as np
import pytest
import torch

from cvg.codes.batches import CodeBatch, CodeBatches
from cvg.errors import UserError
from cvg.training.checkpoint import Checkpoints
from cvg.training.loop import Surroundings
from cvg.training.runtime import Runtime
from cvg.training.weights import hash_weights
from cvg.transformer.model import Transformer
from cvg.transformer.train import (
    corrupt,
    cross_entropies,
    gather_known,
    hide_at_random,
    measure,
    train_transformer,
)

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def store(toys, tmp_path_factory):
    return toys.write_codes(tmp_path_factory.mktemp("train") / "codes")


def test_cross_entropy_by_hand():
    logits = torch.log(torch.tensor([[[[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]]]))
    codes = torch.tensor([[[1, 2]]])
    expected = [-math.log(0.25), -math.log(0.8)]
    assert cross_entropies(logits, codes).flatten().tolist() == pytest.approx(expected)


def test_corrupted_codes_stay_on_their_level_and_all_of_them_occur(toys, make_sequence):
    from cvg.codes.layout import Grid, Layout

    layout = Layout(
        grids=(
            Grid(level="top", rows=2, columns=2, codebook_size=3),
            Grid(level="bottom", rows=4, columns=4, codebook_size=7),
        )
    )
    sequence = make_sequence(layout, clips=100, frames=20)
    new = corrupt(sequence, layout, share=1.0, rng=toys.rng())
    hit = new != sequence
    assert set(new[..., :4][hit[..., :4]].tolist()) == set(range(3))
    assert set(new[..., 4:][hit[..., 4:]].tolist()) == set(range(7))


def test_the_share_of_corrupted_codes_runs_from_none_to_the_limit(toys, layout, make_sequence):
    sequence = torch.full((400, 20, layout.num_places), -1)  # so that every hit shows
    shares = (corrupt(sequence, layout, share=0.4, rng=toys.rng()) >= 0).double().mean((1, 2))
    assert shares.min() < 0.02
    assert 0.35 < shares.max() < 0.5
    assert shares.mean().item() == pytest.approx(0.2, abs=0.02)
    assert torch.equal(corrupt(sequence, layout, share=0.0, rng=toys.rng()), sequence)


class Oracle(Transformer):
    """Knows the first codes of each frame, and bets on code 0 elsewhere."""

    def __init__(self, toys, layout, known):
        super().__init__(toys.toy_transformer(layout).shape, layout)
        self.known = known

    def forward(self, sequence, conditions, *, goal=None, hidden=None):
        codes = sequence[..., self.layout.num_given :].clone()
        codes[..., self.known :] = 0
        return 10.0 * torch.nn.functional.one_hot(codes, self.layout.predicted.codebook_size)


def batch_of(toys, codes):
    """Clips of the first toy segment."""
    b, t, _ = codes.shape
    tracks = {name: np.stack([rows] * b) for name, rows in toys.all_tracks(t).items()}
    return CodeBatch(sequence=codes, segments=toys.segments()[:1] * b, stride=1, tracks=tracks)


def test_figures_by_hand(toys, layout):
    codes = torch.full((2, 3, layout.num_places), 5)
    codes[1, 1:] = 6  # one clip changes once
    batches = iter([batch_of(toys, codes[i : i + 1]) for i in (0, 1)])
    oracle = Oracle(toys, layout, known=1)
    figures = measure(oracle, batches, conditioning=toys.CONDITIONING, device=CPU)
    n, size = layout.predicted.num_codes, layout.predicted.codebook_size
    assert figures["accuracy"] == pytest.approx(1 / n)
    assert figures["accuracy_copy"] == pytest.approx(3 / 4)
    log_sum = math.log(math.exp(10) + size - 1)
    assert figures["nll"] == pytest.approx(log_sum - 10 / n, rel=1e-6)


def test_single_frames_have_no_share_of_right_guesses(toys, layout):
    codes = torch.zeros(1, 1, layout.num_places, dtype=torch.int64)
    oracle = Oracle(toys, layout, known=0)
    batches = iter([batch_of(toys, codes)])
    figures = measure(oracle, batches, conditioning=toys.CONDITIONING, device=CPU)
    assert set(figures) == {"nll"}


def test_hidden_codes_follow_the_cosine_and_there_is_always_one(toys, layout, make_sequence):
    sequence = make_sequence(layout, clips=400, frames=5)
    hidden = hide_at_random(sequence, layout, rng=toys.rng())
    assert hidden.any(-1).all()
    assert torch.equal(hidden, hide_at_random(sequence, layout, rng=toys.rng()))
    # The mean of a quarter of a cosine.
    assert hidden.double().mean().item() == pytest.approx(2 / math.pi, abs=0.06)


def run(store, level, params, *, seed=0, log=lambda row, step: None, **others):
    runtime = Runtime(device=CPU, precision=others.pop("precision", "fp32"))
    around = Surroundings(learning_rate=1e-3, seed=seed, runtime=runtime, log=log, **others)
    return train_transformer(store, level, params, around)


@pytest.mark.parametrize("level", ["top", "bottom"])
def test_the_same_seed_gives_the_same_weights_to_the_bit(toys, store, level):
    params = toys.toy_params().transformer
    first = run(store, level, params)
    torch.rand(3)  # what else was drawn in the process plays no part
    again, other = run(store, level, params), run(store, level, params, seed=1)
    hashes = [hash_weights(result.transformer.model) for result in (first, again, other)]
    assert hashes[0] == hashes[1] != hashes[2]
    assert first.trained.history.rows == again.trained.history.rows


def test_muon_takes_the_matrices_of_the_layers(toys, store, monkeypatch):
    params = toys.toy_params().transformer
    taken = toys.matrices_for_muon(
        monkeypatch, "cvg.transformer.train", lambda: run(store, "top", params)
    )
    parts = ("attention.project_in", "attention.project_out", "network.0", "network.2")
    layers = range(params.top.layers)
    assert taken == {f"blocks.{n}.{part}.weight" for n in layers for part in parts}


def test_an_interrupted_training_ends_as_if_nothing_had_happened(toys, store, tmp_path):
    params = toys.toy_params().transformer
    changes = {"steps": 6, "validate_every": 2, "accumulate": 2}
    params = params.model_copy(update={"top": params.top.model_copy(update=changes)})

    def interrupt(row, step):
        if step == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(store, "top", params, log=interrupt, checkpoints=Checkpoints(tmp_path))
    torch.rand(3)
    again = run(store, "top", params, checkpoints=Checkpoints(tmp_path))
    whole = run(store, "top", params)
    assert again.trained.resumed_from == 4
    assert hash_weights(again.transformer.model) == hash_weights(whole.transformer.model)
    assert again.trained.history.rows == whole.trained.history.rows


def test_in_half_precision_it_learns_nearly_the_same(toys, store):
    params = toys.toy_params().transformer
    half, full = (run(store, "bottom", params, precision=p) for p in ("bf16", "fp32"))
    assert half.trained.best["nll"] == pytest.approx(full.trained.best["nll"], rel=0.02)
    models = [result.transformer.model for result in (half, full)]
    assert hash_weights(models[0]) != hash_weights(models[1])
    assert {weight.dtype for weight in models[0].parameters()} == {torch.float32}


def test_a_level_that_the_codes_do_not_have_is_refused(toys, store):
    with pytest.raises(UserError, match=r"has codes of the levels top, bottom, and none of middle"):
        run(store, "middle", toys.toy_params().transformer)


def test_what_was_trained_knows_the_conditions_of_training_and_its_vqgan(toys, store):
    trained = run(store, "top", toys.toy_params().transformer).transformer
    assert trained.vqgan_hash == store.vqgan_hash
    words = trained.conditioning.vocabulary
    assert words.words == ("a", "blue", "moving", "red", "square")
    assert words.labels == ()  # the one label is held out
    assert words.rates == (10.0,)
    assert words.num_buckets == 3
    assert trained.conditioning.kinds == ("caption", "fps", "motion", "actions", "map")
    vectors = torch.from_numpy(toys.codebooks()["top"])
    found = trained.model.code_embedding.codebook_vectors
    torch.testing.assert_close(found, vectors / vectors.std())
    rows = np.concatenate(
        [store.window(s, 0, s.num_frames)["actions"] for s in toys.segments()[::2]]
    )
    embedding = trained.model.frame_embedding.actions
    torch.testing.assert_close(embedding.mean, torch.from_numpy(rows.mean(0)))
    torch.testing.assert_close(embedding.deviation, torch.from_numpy(rows.std(0)))


def test_a_kind_that_is_always_dropped_is_not_learned(toys, store):
    params = toys.toy_params().transformer
    dropout = params.conditions.dropout.model_copy(update={"caption": 1.0, "map": 1.0})
    conditions = params.conditions.model_copy(update={"dropout": dropout})
    trained = run(store, "top", params.model_copy(update={"conditions": conditions})).transformer
    assert trained.conditioning.kinds == ("fps", "motion", "actions")
    assert trained.model.frame_embedding.maps is None


@pytest.mark.parametrize("order", ["raster", "parallel"])
def test_the_kept_model_has_the_figures_that_were_reported(toys, store, order):
    params = toys.toy_params().transformer.model_copy(update={"order": order})
    result = run(store, "bottom", params)
    model, conditioning = result.transformer.model, result.transformer.conditioning
    length = params.bottom.clip_frames
    batches = CodeBatches(store, "held_out", layout=model.layout, length=length)
    # As many at once as in training: which codes are hidden depends on it.
    clips = batches.in_order(params.bottom.batch_size, most=256)
    figures = measure(model, clips, conditioning=conditioning, device=CPU)
    assert figures == pytest.approx(result.trained.best, rel=1e-5)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_goal_is_seen_and_never_asked_for(toys, store, monkeypatch, share):
    """The loss of the frame that is given as the goal would teach to copy."""
    params = toys.toy_params().transformer
    conditions = params.conditions.model_copy(update={"goal_share": share})
    calls = []
    forward = Transformer.forward

    def watch(self, sequence, conditions, *, goal=None, hidden=None):
        logits = forward(self, sequence, conditions, goal=goal, hidden=hidden)
        if self.training:
            logits.retain_grad()
            calls.append((goal, sequence, logits))
        return logits

    monkeypatch.setattr(Transformer, "forward", watch)
    run(store, "top", params.model_copy(update={"conditions": conditions}))
    for goal, sequence, logits in calls:
        asked = logits.grad.abs().sum((0, 2, 3)) > 0
        assert (goal is not None) == (share == 1)
        last = sequence.shape[1] - 1
        assert asked.tolist() == [True] * last + [goal is None]
        if goal is not None:
            assert goal.time == last


def test_the_first_frame_can_weigh_more(toys, store):
    params = toys.toy_params().transformer
    heavy = params.top.model_copy(update={"first_frame_weight": 50.0})
    results = [
        run(store, "top", params.model_copy(update={"top": top})) for top in (params.top, heavy)
    ]
    hashes = {hash_weights(result.transformer.model) for result in results}
    assert len(hashes) == 2


@pytest.mark.slow
@pytest.mark.parametrize("level", ["top", "bottom"])
def test_it_memorises_a_batch(toys, store, level):
    from cvg.codes.layout import layout_of

    layout = layout_of(level, store.grids)
    model = toys.toy_transformer(layout).float()
    batch = CodeBatches(store, "train", layout=layout, length=4).random(2, rng=toys.rng())
    conditions = gather_known(toys.CONDITIONING, batch)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(400):
        logits = model(batch.sequence, conditions)
        loss = cross_entropies(logits, batch.sequence[..., layout.num_given :]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.02
