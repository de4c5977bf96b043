"""Attention against torch's own, and the rotation in time."""

import pytest
import torch
from torch.nn.functional import multi_head_attention_forward, scaled_dot_product_attention

from cvg.transformer.attention import Attention, KeysValues, Rotation, attend

B, HEADS, WIDTH, PREFIX, CODES = 2, 3, 8, 4, 6


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotate_in_time(vectors, times):
    return Rotation.at(times, head_width=WIDTH, dtype=vectors.dtype).turn(vectors)


def heads(count, seed):
    return random(B, HEADS, count, WIDTH, seed=seed)


def causal():
    return torch.ones(CODES, CODES, dtype=torch.bool).tril()


def test_attention_is_that_of_torch_with_the_same_mask():
    queries, keys, values = heads(CODES, 0), heads(CODES, 1), heads(CODES, 2)
    found = attend([(queries, KeysValues(keys=keys, values=values, visible=causal()))])
    expected = scaled_dot_product_attention(queries, keys, values, attn_mask=causal(), scale=1.0)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_attention_to_both_parts_is_one_softmax_over_both():
    """Queries of double width see each part with the half that is meant for it."""
    queries, rotated = heads(CODES, 0), heads(CODES, 1)
    prefix_keys, code_keys = heads(PREFIX, 2), heads(CODES, 3)
    prefix_values, code_values = heads(PREFIX, 4), heads(CODES, 5)
    present = torch.tensor([[1, 1, 0, 1], [1, 1, 1, 0]], dtype=torch.bool)[:, None, None]
    found = attend(
        [
            (queries, KeysValues(keys=prefix_keys, values=prefix_values, visible=present)),
            (rotated, KeysValues(keys=code_keys, values=code_values, visible=causal())),
        ]
    )
    both = torch.cat([queries, rotated], dim=-1)
    keys = torch.cat(
        [
            torch.cat([prefix_keys, torch.zeros_like(prefix_keys)], dim=-1),
            torch.cat([torch.zeros_like(code_keys), code_keys], dim=-1),
        ],
        dim=-2,
    )
    values = torch.cat([prefix_values, code_values], dim=-2)
    mask = torch.cat(
        [present.expand(B, 1, CODES, PREFIX), causal().expand(B, 1, CODES, CODES)], dim=-1
    )
    expected = scaled_dot_product_attention(both, keys, values, attn_mask=mask, scale=1.0)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_projections_are_laid_out_as_in_torch():
    width = HEADS * WIDTH
    attention = Attention(width, HEADS).double()
    features = random(B, CODES, width)
    queries, keys, values = attention.split_heads(features)
    visible = KeysValues(keys=keys, values=values, visible=causal())
    found = attention.join_heads(attend([(queries, visible)]))
    expected, _ = multi_head_attention_forward(
        *[features.transpose(0, 1)] * 3,
        embed_dim_to_check=width,
        num_heads=HEADS,
        in_proj_weight=attention.project_in.weight,
        in_proj_bias=None,
        bias_k=None,
        bias_v=None,
        add_zero_attn=False,
        dropout_p=0.0,
        out_proj_weight=attention.project_out.weight,
        out_proj_bias=None,
        attn_mask=~causal(),
    )
    torch.testing.assert_close(found, expected.transpose(0, 1), rtol=0, atol=1e-12)


def test_products_depend_on_the_difference_of_times_only():
    queries, keys = heads(CODES, 0), heads(CODES, 1)

    def products(start):
        times = torch.arange(start, start + CODES)
        return rotate_in_time(queries, times) @ rotate_in_time(keys, times).transpose(-2, -1)

    for start in (100, 100_000):
        torch.testing.assert_close(products(0), products(start), rtol=0, atol=1e-9)
    shifted = rotate_in_time(queries, torch.arange(CODES) + 1)
    at_rest = rotate_in_time(keys, torch.arange(CODES)).transpose(-2, -1)
    assert (shifted @ at_rest - products(0)).abs().max() > 0.1


def test_rotation_keeps_lengths_and_leaves_time_zero_alone():
    vectors = heads(CODES, 0)
    rotated = rotate_in_time(vectors, torch.arange(CODES) * 7)
    torch.testing.assert_close(rotated.norm(dim=-1), vectors.norm(dim=-1), rtol=0, atol=1e-12)
    assert torch.equal(rotate_in_time(vectors, torch.zeros(CODES, dtype=torch.int64)), vectors)


@pytest.mark.parametrize("pair", range(WIDTH // 2))
def test_every_pair_of_components_turns_at_its_own_speed(pair):
    vectors = torch.zeros(1, 1, 1, WIDTH, dtype=torch.float64)
    vectors[..., pair] = 1
    angle = 3 * 100.0 ** (-2 * pair / WIDTH)
    rotated = rotate_in_time(vectors, torch.tensor([3]))[0, 0, 0]
    assert rotated[pair].item() == pytest.approx(torch.tensor(angle).cos().item(), abs=1e-6)
    assert rotated[pair + WIDTH // 2].item() == pytest.approx(
        torch.tensor(angle).sin().item(), abs=1e-6
    )
