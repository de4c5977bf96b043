"""The network against GPT-2 of Hugging Face, in the configuration that both can express.

One frame, so that nothing turns in time and no frame is before; one number of a prefix, which sees
itself alone; nothing from the coarser code above. What is left is a GPT with learned positions.
"""

import pytest
import torch

from cvg.codes.layout import layout_of
from cvg.conditions.batch import Conditions
from cvg.conditions.vocabulary import NO_LABEL, PADDING

LAYERS = 3


@pytest.fixture
def model(toys, layout):
    model = toys.toy_transformer(layout, layers=LAYERS)
    with torch.no_grad():
        model.code_embedding.beside.weight.zero_()
        for convolution in model.code_embedding.coarser:
            convolution.weight.zero_()
        model.prefix_embedding.projection.weight.zero_()
        model.prefix_embedding.projection.bias.zero_()
        model.head.project.bias.zero_()
        for missing in (model.frame_embedding.actions.missing, model.frame_embedding.maps.missing):
            missing.zero_()
    return model


def as_gpt2(model):
    """Build a GPT-2 and copy the weights; its last two tokens are the start and the prefix."""
    from transformers import GPT2Config, GPT2LMHeadModel

    shape, layout, embedding = model.shape, model.layout, model.code_embedding
    config = GPT2Config(
        vocab_size=layout.vocabulary_size + 2,
        n_positions=1 + layout.num_places,
        n_embd=shape.width,
        n_layer=shape.layers,
        n_head=shape.heads,
        activation_function="gelu",
        tie_word_embeddings=False,
    )
    gpt = GPT2LMHeadModel(config).double().eval()
    prefix = model.prefix_embedding
    first = prefix.table.weight[NO_LABEL] + prefix.place_table.weight[0]
    places = embedding.place_table.weight + embedding.no_frame
    with torch.no_grad():
        gpt.transformer.wte.weight.copy_(
            torch.cat([embedding.table(), embedding.start[None], first[None]])
        )
        gpt.transformer.wpe.weight.copy_(torch.cat([torch.zeros_like(first)[None], places]))
        for ours, theirs in zip(model.layers, gpt.transformer.h, strict=True):
            copies = (
                (theirs.ln_1, ours.attention_norm),
                (theirs.attn.c_attn, ours.attention.project_in),
                (theirs.attn.c_proj, ours.attention.project_out),
                (theirs.ln_2, ours.network_norm),
                (theirs.mlp.c_fc, ours.network[0]),
                (theirs.mlp.c_proj, ours.network[2]),
            )
            for target, source in copies:
                weight = source.weight.T if source.weight.ndim == 2 else source.weight
                target.weight.copy_(weight)
                bias = torch.zeros_like(target.bias) if source.bias is None else source.bias
                target.bias.copy_(bias)
        gpt.transformer.ln_f.load_state_dict(model.head.norm.state_dict())
        own = model.head.project.weight[: layout.predicted.codebook_size]
        gpt.lm_head.weight[: len(own)] = own
    return gpt


def test_logits_are_those_of_gpt2(toys, layout, model, make_sequence):
    codes = make_sequence(layout, frames=1)
    prefix = torch.full((3, toys.VOCABULARY.length), PADDING)
    prefix[:, 0] = NO_LABEL
    with torch.no_grad():
        found = model(codes, Conditions(prefix=prefix))[:, 0]
        tokens = codes[:, 0] + layout.offsets()
        start = torch.full((3, 1), layout.vocabulary_size)
        inputs = torch.cat([start + 1, start, tokens[:, :-1]], dim=1)
        expected = as_gpt2(model)(inputs).logits
    predicted = expected[:, 1 + layout.num_given :, : toys.CODEBOOK]
    torch.testing.assert_close(found, predicted, rtol=0, atol=1e-10)


def test_the_layouts_have_what_is_compared(toys):
    """Else the comparison would be of the top alone."""
    assert {layout_of(level, toys.GRIDS).num_given for level in ("top", "bottom")} == {0, 4}
