"""The codebook: nearest vector, gradients, moving average, restarts."""

import pytest
import torch
from torch.nn.functional import mse_loss
from vector_quantize_pytorch import VectorQuantize

from cvg.seeding import seed_everything
from cvg.vqgan.quantizer import Quantizer, straight_through


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def placed(vectors, *, decay=0.5, restart_below=0.0):
    """A quantizer in evaluation mode whose codebook holds these vectors."""
    vectors = torch.tensor(vectors)
    quantizer = Quantizer(
        codebook_size=len(vectors),
        code_dim=vectors.shape[1],
        decay=decay,
        restart_below=restart_below,
    )
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


def test_latents_are_the_looked_up_vectors_to_the_bit():
    quantizer = placed(torch.randn(7, 3, generator=rng(1)).tolist())
    result = quantizer(torch.randn(2, 3, 5, 5, generator=rng(2)))
    assert torch.equal(result.latents, quantizer.look_up(result.codes))


def test_the_gradient_passes_straight_through():
    encoded = torch.randn(2, 2, 3, 3, generator=rng()).requires_grad_()
    placed(CORNERS)(encoded).latents.sum().backward()
    assert (encoded.grad == 1).all()


def test_straight_through_has_the_value_of_the_one_and_the_gradient_of_the_other():
    source = torch.tensor([0.1, 1e8, -3.0], requires_grad=True)
    target = torch.tensor([0.3, 1.0, 7.7], requires_grad=True)
    joined = straight_through(source, target)
    assert torch.equal(joined, target)
    joined.sum().backward()
    assert source.grad.tolist() == [1, 1, 1]
    assert target.grad is None


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


def test_in_evaluation_nothing_changes():
    quantizer = placed(CORNERS)
    before = {name: buffer.clone() for name, buffer in quantizer.named_buffers()}
    quantizer(torch.randn(2, 2, 4, 4, generator=rng()))
    assert all(torch.equal(buffer, before[name]) for name, buffer in quantizer.named_buffers())


def test_the_moving_average_is_that_of_an_established_library():
    """Their smoothing of the counts (eps) is off; ours has none."""
    size, width, decay = 6, 4, 0.8
    vectors = torch.randn(size, width, generator=rng())
    ours = placed(vectors.tolist(), decay=decay).train()
    theirs = VectorQuantize(
        dim=width,
        codebook_size=size,
        decay=decay,
        eps=0.0,
        threshold_ema_dead_code=0,
        rotation_trick=False,
        accept_image_fmap=True,
        commitment_weight=1.0,
    ).train()
    theirs._codebook.embed.data.copy_(vectors[None])
    theirs._codebook.embed_avg.data.copy_(vectors[None])
    for step in range(5):
        encoded = torch.randn(2, width, 3, 3, generator=rng(step))
        result = ours(encoded)
        quantized, codes, loss = theirs(encoded)
        assert torch.equal(result.codes, codes)
        torch.testing.assert_close(result.latents, quantized, rtol=0, atol=1e-6)
        torch.testing.assert_close(result.commitment_loss, loss.squeeze(), rtol=0, atol=1e-6)
        torch.testing.assert_close(ours.codebook, theirs._codebook.embed[0], rtol=0, atol=1e-6)
        torch.testing.assert_close(
            ours.cluster_size, theirs._codebook.cluster_size[0], rtol=0, atol=1e-6
        )


def test_an_empty_codebook_starts_on_different_vectors_of_the_first_batch():
    seed_everything(0, "test")
    # Without any decay towards the batch, what is left is the start.
    quantizer = Quantizer(codebook_size=8, code_dim=3, decay=1.0, restart_below=0.0).train()
    encoded = torch.randn(2, 3, 4, 4, generator=rng())
    quantizer(encoded)
    vectors = {tuple(vector) for vector in encoded.permute(0, 2, 3, 1).reshape(-1, 3).tolist()}
    started = {tuple(vector) for vector in quantizer.codebook.tolist()}
    assert len(started) == 8
    assert started <= vectors
    assert quantizer.initialised


def test_no_code_is_dead_after_the_first_batch():
    seed_everything(0, "test")
    quantizer = Quantizer(codebook_size=4, code_dim=3, decay=0.9, restart_below=0.5).train()
    encoded = torch.randn(10, 3, 8, 8, generator=rng())
    quantizer(encoded)
    started = quantizer.cluster_size.clone()
    # Even without any use, a code lives for some steps: 0.9 ** 2 is above 0.5.
    assert (started >= 0.9 * 640 / 4 * 0.999).all()


def test_a_first_batch_smaller_than_the_codebook_fills_it_all_the_same():
    seed_everything(0, "test")
    quantizer = Quantizer(codebook_size=9, code_dim=2, decay=1.0, restart_below=0.0).train()
    quantizer(grid([[1.0, 0.0], [0.0, 1.0]]))
    started = quantizer.codebook.tolist()
    assert {tuple(vector) for vector in started} == {(1.0, 0.0), (0.0, 1.0)}
    assert 4 <= started.count([1.0, 0.0]) <= 5


def test_a_dead_code_is_moved_onto_a_vector_of_the_batch():
    seed_everything(0, "test")
    quantizer = placed([[0.0, 0.0], [50.0, 50.0]], decay=0.5, restart_below=0.3).train()
    encoded = grid([[1.0, 0.0], [0.0, 1.0], [4.0, 4.0], [5.0, 4.0]])
    quantizer(encoded)  # counts of the far code: 1 -> 0.5, below 0.3 * 2
    assert quantizer.codebook[1].tolist() in encoded[0, :, 0].T.tolist()
    assert quantizer.cluster_size[1] == 2.0
    for _ in range(5):
        used = set(quantizer(encoded).codes.flatten().tolist())
    assert used == {0, 1}


def test_a_code_in_use_is_not_restarted():
    quantizer = placed([[0.0, 0.0], [5.0, 5.0]], decay=0.5, restart_below=0.3).train()
    for _ in range(20):  # one in four is 0.5 of an even use
        quantizer(grid([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [5.0, 5.0]]))
    assert quantizer.codebook.tolist() == [[0.0, 0.0], [5.0, 5.0]]


def test_a_reloaded_quantizer_goes_on_as_if_nothing_had_happened():
    seed_everything(0, "test")
    trained = Quantizer(codebook_size=5, code_dim=2, decay=0.9, restart_below=0.01).train()
    for step in range(3):
        trained(torch.randn(2, 2, 4, 4, generator=rng(step)))
    reloaded = Quantizer(codebook_size=5, code_dim=2, decay=0.9, restart_below=0.01).train()
    reloaded.load_state_dict(trained.state_dict())
    encoded = torch.randn(2, 2, 4, 4, generator=rng(9))
    for quantizer in (trained, reloaded):
        seed_everything(1, "test")
        quantizer(encoded)
    for name, buffer in trained.named_buffers():
        assert torch.equal(buffer, reloaded.get_buffer(name)), name


def test_half_precision_latents_are_compared_in_single_precision():
    vectors = [[99.8, 0.0], [100.05, 0.0]]  # both are 100 in bfloat16
    encoded = grid([[100.0, 0.0]]).to(torch.bfloat16)
    assert placed(vectors).nearest(encoded[0, :, 0].T).tolist() == [1]


def test_commitment_is_the_squared_distance_to_the_vector_before_the_codebook_moves():
    quantizer = placed(CORNERS, decay=0.0).train()
    encoded = grid([[1.0, 1.0], [8.0, 0.0]])
    expected = mse_loss(encoded, grid([[0.0, 0.0], [10.0, 0.0]]))
    assert quantizer(encoded).commitment_loss == expected
