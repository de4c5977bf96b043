"""The codebook that follows the latents: nearest vector, moving average, restarts, length 1."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import mse_loss
from vector_quantize_pytorch import VectorQuantize

from cvg.seeding import seed_everything
from cvg.vqgan.ema import EmaQuantizer, EmaSettings


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def empty(size, width, *, decay=0.5, restart_below=0.0, rate_weight=0.0, normalize=False):
    """A quantizer in training mode that has not seen a batch."""
    quantizer = EmaQuantizer(
        name="top",
        codebook_size=size,
        code_dim=width,
        settings=EmaSettings(
            decay=decay,
            restart_below=restart_below,
            rate_weight=rate_weight,
            normalize=normalize,
        ),
    )
    return quantizer.train()


def placed(vectors, **settings):
    """A quantizer in evaluation mode whose codebook holds these vectors."""
    vectors = torch.tensor(vectors)
    quantizer = empty(len(vectors), vectors.shape[1], **settings)
    quantizer.codebook.copy_(vectors)
    quantizer.cluster_size.fill_(1)
    quantizer.vector_sum.copy_(vectors)
    quantizer.initialised.fill_(True)
    return quantizer.eval()


def grid(vectors):
    """One picture of one row, a column for each vector."""
    return torch.tensor(vectors).T[None, :, None, :].contiguous()


CORNERS = [[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]]


def test_picks_the_nearest_vector():
    encoded = torch.tensor([[1.0, 9.0, 2.0, 0.0], [1.0, 1.0, 8.0, 0.0]]).reshape(1, 2, 2, 2)
    result = placed(CORNERS)(encoded)
    assert result.codes.tolist() == [[[0, 1], [2, 0]]]
    assert result.latents[0, :, 0, 1].tolist() == [10.0, 0.0]
    assert result.latents[0, :, 1, 0].tolist() == [0.0, 10.0]


def test_ties_go_to_the_lower_code():
    assert placed(CORNERS)(grid([[5.0, 5.0], [5.0, 0.0]])).codes.tolist() == [[[0, 0]]]


def test_commitment_moves_the_encoder_towards_its_vector_and_nothing_else():
    quantizer = placed(CORNERS)
    encoded = grid([[1.0, 2.0], [9.0, 0.0]]).requires_grad_()
    loss = quantizer(encoded).commitment_loss
    assert loss.item() == pytest.approx((1 + 4 + 1 + 0) / 4)
    loss.backward()
    assert encoded.grad[0, :, 0].T.tolist() == [[0.5, 1.0], [-0.5, 0.0]]
    assert list(quantizer.parameters()) == []
    assert all(buffer.grad is None for buffer in quantizer.buffers())


def test_without_memory_a_code_goes_to_the_mean_of_its_cluster():
    quantizer = placed(CORNERS, decay=0.0).train()
    quantizer(grid([[1.0, 0.0], [3.0, 2.0], [9.0, 1.0], [0.0, 8.0]]))
    assert quantizer.codebook.tolist() == [[2.0, 1.0], [9.0, 1.0], [0.0, 8.0]]


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_a_code_that_nobody_uses_stays_where_it_is_if_it_is_not_restarted(decay):
    quantizer = placed([[0.0, 0.0], [100.0, 50.0]], decay=decay).train()
    for _ in range(200):
        quantizer(grid([[1.0, 0.0], [0.0, 1.0]]))
    assert quantizer.codebook[1].tolist() == pytest.approx([100.0, 50.0])


@pytest.mark.parametrize("normalize", [False, True])
def test_the_moving_average_and_the_gradient_are_those_of_an_established_library(normalize):
    """Their smoothing of the counts (eps) is off; ours has none. Their cosine mode is the same."""
    size, width, decay = 6, 4, 0.8
    vectors = torch.randn(size, width, generator=rng())
    if normalize:
        vectors = torch.nn.functional.normalize(vectors, dim=1)
    ours = placed(vectors.tolist(), decay=decay, normalize=normalize).train()
    theirs = VectorQuantize(
        dim=width,
        codebook_size=size,
        decay=decay,
        eps=0.0,
        threshold_ema_dead_code=0,
        rotation_trick=False,
        accept_image_fmap=True,
        commitment_weight=1.0,
        use_cosine_sim=normalize,
    ).train()
    theirs._codebook.embed.data.copy_(vectors[None])
    theirs._codebook.embed_avg.data.copy_(vectors[None])
    for step in range(8):
        one, other = (torch.randn(2, width, 3, 3, generator=rng(step)) for _ in range(2))
        weights = torch.randn(one.shape, generator=rng(step + 100))
        result = ours(one.requires_grad_())
        latents, codes, loss = theirs(other.requires_grad_())
        ((result.latents * weights).sum() + result.commitment_loss).backward()
        ((latents * weights).sum() + loss.sum()).backward()
        assert torch.equal(result.codes, codes)
        for found, expected in (
            (result.latents, latents),
            (result.commitment_loss, loss.squeeze()),
            (one.grad, other.grad),
            (ours.codebook, theirs._codebook.embed[0]),
            (ours.cluster_size, theirs._codebook.cluster_size[0]),
            (ours.vector_sum, theirs._codebook.embed_avg[0]),
        ):
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_an_empty_codebook_starts_on_different_vectors_of_the_first_batch():
    seed_everything(0, "test")
    # Without any decay towards the batch, what is left is the start.
    quantizer = empty(8, 3, decay=1.0, restart_below=0.0)
    encoded = torch.randn(2, 3, 4, 4, generator=rng())
    quantizer(encoded)
    vectors = {tuple(vector) for vector in encoded.permute(0, 2, 3, 1).reshape(-1, 3).tolist()}
    started = {tuple(vector) for vector in quantizer.codebook.tolist()}
    assert len(started) == 8
    assert started <= vectors
    assert quantizer.initialised


def test_in_evaluation_an_empty_codebook_stays_empty():
    quantizer = empty(4, 2).eval()
    quantizer(grid(CORNERS))
    assert not quantizer.initialised
    assert (quantizer.codebook == 0).all()


def test_no_code_is_dead_after_the_first_batch():
    seed_everything(0, "test")
    quantizer = empty(4, 3, decay=0.9, restart_below=0.5)
    encoded = torch.randn(10, 3, 8, 8, generator=rng())
    quantizer(encoded)
    started = quantizer.cluster_size.clone()
    # Even without any use, a code lives for some steps: 0.9 ** 2 is above 0.5.
    assert (started >= 0.9 * 640 / 4 * 0.999).all()


def test_a_first_batch_smaller_than_the_codebook_fills_it_all_the_same():
    seed_everything(0, "test")
    quantizer = empty(9, 2, decay=1.0, restart_below=0.0)
    quantizer(grid([[1.0, 0.0], [0.0, 1.0]]))
    started = quantizer.codebook.tolist()
    assert {tuple(vector) for vector in started} == {(1.0, 0.0), (0.0, 1.0)}
    assert 4 <= started.count([1.0, 0.0]) <= 5


def with_utility(quantizer, values):
    quantizer.utility.copy_(torch.tensor(values))
    return quantizer.train()


def test_utility_is_what_the_error_would_grow_by_without_a_code():
    """By hand: two latents are 1 and 0 away from the first code, 9 and 10 from the next."""
    quantizer = with_utility(placed([[0.0], [10.0], [100.0]], decay=0.0), [1.0, 1.0, 1.0])
    quantizer(grid([[1.0], [0.0], [12.0]]))
    first = (81 - 1) + (100 - 0)
    second = 12**2 - 2**2
    assert quantizer.utility.tolist() == pytest.approx([first, second, 0])


def test_a_dead_code_is_moved_onto_a_vector_of_the_batch():
    seed_everything(0, "test")
    quantizer = placed([[0.0, 0.0], [50.0, 50.0]], decay=0.5, restart_below=0.3)
    with_utility(quantizer, [40.0, 1.0])
    encoded = grid([[1.0, 0.0], [0.0, 1.0], [4.0, 4.0], [5.0, 4.0]])
    quantizer(encoded)
    assert quantizer.codebook[1].tolist() in encoded[0, :, 0].T.tolist()
    assert quantizer.cluster_size[1] == 2.0
    for _ in range(5):
        used = set(quantizer(encoded).codes.flatten().tolist())
    assert used == {0, 1}


def test_codes_that_share_what_is_alike_are_moved_to_what_is_badly_met():
    """Two codes on the same crowd, however often each is used, and a few latents far away."""
    seed_everything(0, "test")
    vectors = [[0.0, 0.0], [0.01, 0.0], [30.0, 0.0]]
    quantizer = with_utility(placed(vectors, decay=0.5, restart_below=0.1), [1.0, 1.0, 1.0])
    crowd = [[0.0, 0.0], [0.01, 0.0]] * 20
    encoded = grid([*crowd, [30.0, 0.0], [30.0, 20.0], [30.0, 20.0]])
    for _ in range(8):
        quantizer(encoded)
    spread = sorted(quantizer(encoded).codes.flatten().bincount(minlength=3).tolist())
    assert spread == [1, 2, 40]


def test_a_code_that_would_be_missed_is_not_restarted():
    quantizer = placed([[0.0, 0.0], [5.0, 5.0]], decay=0.5, restart_below=0.3)
    with_utility(quantizer, [50.0, 50.0])
    for _ in range(20):
        quantizer(grid([[0.0, 0.0], [0.0, 0.0], [5.0, 5.0]]))
    assert quantizer.codebook.tolist() == [[0.0, 0.0], [5.0, 5.0]]


def test_restarts_go_where_the_error_is():
    """The chance of a latent is proportional to its squared distance from its code."""
    counts = {1.0: 0, 3.0: 0}
    for seed in range(300):
        seed_everything(seed, "test")
        quantizer = placed([[0.0], [500.0]], decay=0.5, restart_below=0.3)
        with_utility(quantizer, [40.0, 1.0])
        quantizer(grid([[0.0], [1.0], [3.0]]))
        counts[round(quantizer.codebook[1].item(), 3)] += 1
    assert counts[3.0] / 300 == pytest.approx(0.9, abs=0.06)


def test_a_seldom_code_is_taken_only_where_it_is_much_nearer():
    """By hand: the seldom one costs ln 9 nats more, 2 x 0.5 of squared distance each."""
    quantizer = placed([[0.0], [2.0]], rate_weight=2.0)
    quantizer.cluster_size.copy_(torch.tensor([9.0, 1.0]))
    quantizer.error.fill_(0.5)
    # Squared distances to the two differ by 4 x - 4, so the border moves from 1 to 1 + ln 9 / 4.
    border = 1 + math.log(9) / 4
    result = quantizer(grid([[border - 0.01], [border + 0.01], [0.9]]))
    assert result.codes.flatten().tolist() == [0, 1, 0]


def test_without_a_weight_use_plays_no_part():
    quantizer = placed([[0.0], [2.0]])
    quantizer.cluster_size.copy_(torch.tensor([9.0, 1.0]))
    quantizer.error.fill_(0.5)
    assert quantizer(grid([[0.99], [1.01]])).codes.flatten().tolist() == [0, 1]


def test_what_is_alike_gathers_on_one_code():
    """Latents of a cloud, and some far away: the cloud ends on one code, the rest stays apart."""
    used = {}
    for weight in (0.0, 1.0):
        seed_everything(0, "test")
        quantizer = empty(12, 2, decay=0.8, restart_below=0.05, rate_weight=weight)
        for step in range(60):
            cloud = 0.1 * torch.randn(200, 2, generator=rng(step))
            corners = torch.tensor([[5.0, 5.0], [-5.0, 5.0], [5.0, -5.0]]).repeat(4, 1)
            codes = quantizer(torch.cat([cloud, corners]).T[None, :, None]).codes.flatten()
        used[weight] = codes[:200].unique().numel(), codes[200:].unique().numel()
    assert used[1.0][0] < used[0.0][0]
    assert used[1.0][1] == 3


def test_commitment_is_the_squared_distance_to_the_vector_before_the_codebook_moves():
    quantizer = placed(CORNERS, decay=0.0).train()
    encoded = grid([[1.0, 1.0], [8.0, 0.0]])
    expected = mse_loss(encoded, grid([[0.0, 0.0], [10.0, 0.0]]))
    assert quantizer(encoded).commitment_loss == expected


def test_the_gradient_passes_straight_through():
    encoded = torch.randn(2, 2, 3, 3, generator=rng()).requires_grad_()
    placed(CORNERS)(encoded).latents.sum().backward()
    assert (encoded.grad == 1).all()


def test_vectors_that_are_one_in_half_precision_are_told_apart():
    vectors = [[99.8, 0.0], [100.05, 0.0]]  # both are 100 in bfloat16
    encoded = grid([[100.0, 0.0]]).to(torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert placed(vectors)(encoded).codes.item() == 1


@settings(deadline=None, max_examples=30)
@given(
    size=st.integers(2, 12),
    decay=st.sampled_from([0.0, 0.5, 0.98]),
    restart_below=st.sampled_from([0.0, 0.3]),
    scale=st.sampled_from([1e-3, 1.0, 1e4]),
)
def test_normalized_vectors_have_length_one_at_the_start_and_after_each_update(
    size, decay, restart_below, scale
):
    seed_everything(0, "test")
    quantizer = empty(size, 3, decay=decay, restart_below=restart_below, normalize=True)
    for step in range(6):
        # The batch turns, so that codes move, die and restart.
        encoded = (
            torch.randn(2, 3, 3, 3, generator=rng(step))
            + torch.tensor([step, 0, -step])[:, None, None]
        )
        result = quantizer(scale * encoded)
        one = torch.ones(size)
        torch.testing.assert_close(quantizer.codebook.norm(dim=1), one, rtol=0, atol=1e-5)
        assert (result.latents.norm(dim=1) - 1).abs().max() < 1e-5


def test_normalized_latents_are_told_apart_by_direction_alone():
    quantizer = placed([[1.0, 0.0], [0.0, 1.0]], normalize=True)
    near = grid([[0.2, 0.1], [30.0, 20.0], [0.1, 0.2], [20.0, 30.0]])
    result = quantizer(near)
    assert result.codes.tolist() == [[[0, 0, 1, 1]]]
    rescaled = quantizer(100 * near)
    assert torch.equal(rescaled.codes, result.codes)
    assert rescaled.commitment_loss.item() == pytest.approx(result.commitment_loss.item())


def test_the_gradient_of_normalized_latents_does_not_lengthen_them():
    encoded = torch.randn(2, 3, 4, 4, generator=rng()).requires_grad_()
    quantizer = placed(torch.eye(3).tolist(), normalize=True)
    result = quantizer(encoded)
    weights = torch.randn(encoded.shape, generator=rng(1))
    ((result.latents * weights).sum() + result.commitment_loss).backward()
    assert (encoded.grad * encoded.detach()).sum(1).abs().max() < 1e-5
    assert encoded.grad.abs().min() > 0


def test_a_code_whose_normalized_latents_cancel_stays_where_it_is():
    quantizer = placed([[0.0, 1.0], [0.0, -1.0]], decay=0.0, normalize=True).train()
    quantizer(grid([[3.0, 0.0], [-5.0, 0.0]]))  # both go to the first code, as ties do
    assert quantizer.codebook.tolist() == [[0.0, 1.0], [0.0, -1.0]]


def test_the_share_of_restarted_codes_is_told():
    seed_everything(0, "test")
    far = [[50.0, 50.0], [60.0, 60.0], [70.0, 70.0]]
    quantizer = placed([[0.0, 0.0], *far], decay=0.9, restart_below=0.3)
    with_utility(quantizer, [40.0, 0.0, 0.0, 0.0])
    encoded = grid([[1.0, 0.0], [0.0, 1.0], [4.0, 4.0], [5.0, 4.0]] * 2)
    assert quantizer(encoded).restarted == 0.75
    assert quantizer(encoded).restarted == 0
    assert quantizer.eval()(encoded).restarted == 0


def test_a_start_with_too_few_distinct_latents_is_said_once(capsys):
    seed_everything(0, "test")
    quantizer = empty(9, 2, decay=0.9)
    encoded = grid([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]] * 7)
    for _ in range(3):
        quantizer(encoded)
    said = capsys.readouterr().err
    assert said.count("WARNING: ") == said.count("\n") == 1
    assert "level top: the codebook has 9 codes" in said
    assert "only 3 distinct latents" in said
    assert "vqgan.codebook_size" in said


def test_a_start_with_enough_distinct_latents_is_silent_and_takes_no_copy(capsys):
    seed_everything(0, "test")
    quantizer = empty(4, 2, decay=1.0)
    rare = [[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]]
    quantizer(grid([[5.0, 5.0]] * 500 + rare))
    assert capsys.readouterr().err == ""
    assert sorted(quantizer.codebook.tolist()) == sorted([[5.0, 5.0], *rare])
