"""Training of a transformer: its inputs, its figures, and that it can be repeated."""

import math

import pytest
import torch

from cvg.codes.batches import CodeBatch, CodeBatches
from cvg.errors import UserError
from cvg.training.checkpoint import Checkpoints
from cvg.training.loop import Surroundings
from cvg.training.runtime import Runtime
from cvg.training.weights import hash_weights
from cvg.transformer.train import corrupt, cross_entropy, measure, train_transformer

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def store(toys, tmp_path_factory):
    return toys.write_codes(tmp_path_factory.mktemp("train") / "codes")


def test_cross_entropy_by_hand():
    logits = torch.log(torch.tensor([[[[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]]]))
    codes = torch.tensor([[[1, 2]]])
    expected = -(math.log(0.25) + math.log(0.8)) / 2
    assert cross_entropy(logits, codes).item() == pytest.approx(expected)


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


class Oracle(torch.nn.Module):
    """Knows the first codes of each frame, and bets on code 0 elsewhere."""

    def __init__(self, layout, known):
        super().__init__()
        self.layout = layout
        self.known = known

    def forward(self, sequence, conditions):
        codes = sequence[..., self.layout.num_given :].clone()
        codes[..., self.known :] = 0
        return 10.0 * torch.nn.functional.one_hot(codes, self.layout.predicted.codebook_size)


def test_figures_by_hand(toys, layout):
    codes = torch.full((2, 3, layout.num_places), 5)
    codes[1, 1:] = 6  # one clip changes once
    segments = toys.segments()[:2]
    batches = iter([CodeBatch(sequence=codes[i : i + 1], segments=segments[:1]) for i in (0, 1)])
    figures = measure(
        Oracle(layout, known=1), batches, vocabulary=toys.VOCABULARY, layout=layout, device=CPU
    )
    n, size = layout.predicted.num_codes, layout.predicted.codebook_size
    assert figures["accuracy"] == pytest.approx(1 / n)
    assert figures["accuracy_copy"] == pytest.approx(3 / 4)
    log_sum = math.log(math.exp(10) + size - 1)
    assert figures["nll"] == pytest.approx(log_sum - 10 / n, rel=1e-6)


def test_single_frames_have_no_share_of_right_guesses(toys, layout):
    codes = torch.zeros(1, 1, layout.num_places, dtype=torch.int64)
    batch = CodeBatch(sequence=codes, segments=toys.segments()[:1])
    figures = measure(
        Oracle(layout, known=0),
        iter([batch]),
        vocabulary=toys.VOCABULARY,
        layout=layout,
        device=CPU,
    )
    assert set(figures) == {"nll"}


def run(store, level, params, *, seed=0, log=lambda row, step: None, **others):
    runtime = Runtime(device=CPU, precision=others.pop("precision", "fp32"))
    around = Surroundings(learning_rate=1e-3, seed=seed, runtime=runtime, log=log, **others)
    return train_transformer(store, level, params, around)


@pytest.mark.parametrize("level", ["top", "bottom"])
def test_the_same_seed_gives_the_same_weights_to_the_bit(toys, store, level):
    params = getattr(toys.toy_params().transformer, level)
    first = run(store, level, params)
    torch.rand(3)  # what else was drawn in the process plays no part
    again, other = run(store, level, params), run(store, level, params, seed=1)
    hashes = [hash_weights(result.transformer.model) for result in (first, again, other)]
    assert hashes[0] == hashes[1] != hashes[2]
    assert first.trained.history.rows == again.trained.history.rows


def test_an_interrupted_training_ends_as_if_nothing_had_happened(toys, store, tmp_path):
    params = toys.toy_params().transformer.top.model_copy(
        update={"steps": 6, "validate_every": 2, "accumulate": 2}
    )

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
    params = toys.toy_params().transformer.bottom
    half, full = (run(store, "bottom", params, precision=p) for p in ("bf16", "fp32"))
    assert half.trained.best["nll"] == pytest.approx(full.trained.best["nll"], rel=0.02)
    models = [result.transformer.model for result in (half, full)]
    assert hash_weights(models[0]) != hash_weights(models[1])
    assert {weight.dtype for weight in models[0].parameters()} == {torch.float32}


def test_a_level_that_the_codes_do_not_have_is_refused(toys, store):
    with pytest.raises(UserError, match=r"has codes of the levels top, bottom, and none of middle"):
        run(store, "middle", toys.toy_params().transformer.of("middle"))


def test_what_was_trained_knows_the_training_words_and_its_vqgan(toys, store):
    trained = run(store, "top", toys.toy_params().transformer.top).transformer
    assert trained.vqgan_hash == store.vqgan_hash
    assert trained.vocabulary.words == ("a", "blue", "moving", "red", "square")
    assert trained.vocabulary.labels == ()  # the one label is held out
    vectors = torch.from_numpy(toys.codebooks()["top"])
    found = trained.model.code_embedding.codebook_vectors
    torch.testing.assert_close(found, vectors / vectors.std())


def test_the_kept_model_has_the_figures_that_were_reported(toys, store):
    params = toys.toy_params().transformer.bottom
    result = run(store, "bottom", params)
    model, vocabulary = result.transformer.model, result.transformer.vocabulary
    batches = CodeBatches(store, "held_out", layout=model.layout, length=params.clip_frames)
    figures = measure(
        model, batches.in_order(3, most=256), vocabulary=vocabulary, layout=model.layout, device=CPU
    )
    assert figures == pytest.approx(result.trained.best, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("level", ["top", "bottom"])
def test_it_memorises_a_batch(toys, store, level):
    from cvg.codes.layout import layout_of

    layout = layout_of(level, store.grids)
    model = toys.toy_transformer(layout).float()
    batch = CodeBatches(store, "train", layout=layout, length=4).random(2, rng=toys.rng())
    conditions = toys.VOCABULARY.encode_all((s.caption, s.label) for s in batch.segments)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(400):
        logits = model(batch.sequence, conditions)
        loss = cross_entropy(logits, batch.sequence[..., layout.num_given :])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.02
