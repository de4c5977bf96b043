"""Captions as vectors of a pretrained sentence encoder, an optional extra.

WordLlama (MIT licence) averages token vectors that were distilled from large language models. Its
weights, 256 numbers a token, lie inside the package, so nothing is fetched at run time.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

from cvg.errors import UserError
from cvg.tensors import Float, Tensor

SENTENCE_WIDTH = 256


def encode_sentences(captions: Sequence[str | None]) -> Float[Tensor, "b e"]:
    """Give the vectors of captions, of length 1; zeros where there is none.

    Raises:
        UserError: the encoder is not installed.
    """
    return torch.stack(
        [_encode(caption) if caption else torch.zeros(SENTENCE_WIDTH) for caption in captions]
    )


@cache
def _encode(caption: str) -> Float[Tensor, "e"]:
    return torch.from_numpy(_encoder().embed([caption], norm=True)[0].copy()).float()


@cache
def _encoder() -> Any:
    try:
        import wordllama
    except ImportError as error:
        raise UserError(
            "captions are read as sentences (transformer.conditions.caption_units), and the "
            "sentence encoder is not installed; run `pip install 'cvg[sentences]'`"
        ) from error
    # Told where its files are, because it looks for them beside itself under another name.
    folder = Path(wordllama.__file__).parent
    return wordllama.WordLlama.load(dim=SENTENCE_WIDTH, disable_download=True, cache_dir=folder)
