"""Weights laid out for decoding: few rows at a time, so that reading the weights is what costs.

Three layouts, each a product with the weights of a linear layer:

- `fp32`: as trained;
- `onednn`: float32, in blocks that oneDNN reads in order; equal but for the order of sums;
- `fp16`: half the bytes; rounded once to 11 bits, activations and sums stay float32;

and two in which a step in C++ does a code in raster order, from its input to its logits, while
several codes at once pass through weights as trained (cvg/transformer/native):

- `native`: float32; equal but for the order of sums;
- `native-bf16`: half the bytes; matrices, and the keys and values of what is written, rounded once
  to 8 bits. Where the processor has products of such numbers (AVX512-BF16), what is multiplied by
  matrices is rounded too, and the frames of a context that are given at once pass in bfloat16. Sums
  stay float32.

All but the first are for CPUs. Which one is fastest depends on the machine:
`benchmarks/sampling.py`. Where a machine lacks one, weights stay as trained, and that is said.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, get_args

import torch
import torch.nn.functional as F
from torch import nn

from cvg.config import Packing
from cvg.tensors import Float, Int64, Tensor
from cvg.training.messages import warn
from cvg.transformer.attention import with_scaled_queries
from cvg.transformer.block import Block
from cvg.transformer.cache import LayerCache
from cvg.transformer.model import Transformer
from cvg.transformer.native.build import library
from cvg.transformer.native.step import NativeTransformer
from cvg.transformer.tables import CodeTables

PACKINGS: tuple[Packing, ...] = get_args(Packing)
NATIVE: tuple[Packing, ...] = ("native", "native-bf16")
# Read for each code: of a weight, and of a key or a value in sight.
WEIGHT_BYTES: dict[Packing, int] = {
    "fp32": 4,
    "onednn": 4,
    "fp16": 2,
    "native": 4,
    "native-bf16": 2,
}
CACHE_BYTES: dict[Packing, int] = {
    "fp32": 4,
    "onednn": 4,
    "fp16": 4,
    "native": 4,
    "native-bf16": 2,
}

Product = Callable[[Float[Tensor, "*n i"]], Float[Tensor, "*n o"]]


@dataclass(frozen=True, kw_only=True)
class PackedBlock:
    """One layer, with its products laid out anew."""

    block: Block
    project_in: Product  # queries come scaled
    project_out: Product
    widen: Product
    narrow: Product

    def codes(
        self,
        features: Float[Tensor, "b n d"],
        layer: LayerCache,
        *,
        slots: slice | Int64[Tensor, "n"],
        bias: Float[Tensor, "b 1 _ k"],
    ) -> Float[Tensor, "b n d"]:
        """Process the next places of a frame, and keep their values and turned keys.

        Args:
            features: of the layer before.
            layer: what is kept of those before them.
            slots: where theirs are kept.
            bias: 0 for what each place may look at, else minus infinity.
        """
        # Plain views, and no einops: these lines run for every code of every layer.
        b, n, _ = features.shape
        heads = self.project_in(self.block.attention_norm(features))
        heads = heads.view(b, n, 3, self.block.attention.heads, -1).permute(2, 0, 3, 1, 4)
        queries, keys, values = heads.unbind(0)
        layer.turned[..., slots] = keys.transpose(-2, -1)
        layer.values[:, :, slots] = values
        scores = (queries @ layer.turned).add_(bias)
        mixed = (scores.softmax(-1) @ layer.values).transpose(1, 2).reshape(b, n, -1)
        features = features + self.project_out(mixed)
        wide = F.gelu(self.widen(self.block.network_norm(features)))
        return features + self.narrow(wide)


@dataclass(frozen=True, kw_only=True)
class PackedTransformer:
    """A frozen transformer with the weights of its large products laid out anew.

    What codes bring to the places near them is looked up in tables.
    """

    model: Transformer
    packing: Packing
    blocks: tuple[PackedBlock, ...]
    head: Product
    tables: CodeTables
    native: NativeTransformer | None = None

    def at_once(self) -> AbstractContextManager[Any]:
        """Give the context in which the frames of a context pass through the model at once."""
        half = self.native is not None and self.native.rounds_inputs
        return torch.autocast("cpu", torch.bfloat16) if half else nullcontext()

    def predict(
        self, features: Float[Tensor, "b n d"], previous: Int64[Tensor, "b n"] | None
    ) -> Float[Tensor, "b n v"]:
        """Give logits, from the features and the codes of the frame before at the same places."""
        if previous is not None:
            # At given places any code will do, nothing is predicted there.
            previous = previous.clamp(max=self.model.layout.predicted.codebook_size - 1)
        return self.model.predict(features, previous, project=self.head)


def pack(model: Transformer, packing: Packing) -> PackedTransformer:
    """Lay out the weights of a model that is trained no more.

    On devices other than the CPU, weights stay as trained, whatever `packing` says.
    """
    if model.device.type != "cpu":
        packing = "fp32"
    if not is_available(packing):
        warn(
            f"sample.packing is {packing}, which this machine does not have: weights stay as "
            "trained. Set it to fp32 to say so"
        )
        packing = "fp32"
    tables, native = CodeTables.of(model.code_embedding), None
    if packing in NATIVE and model.shape.order == "raster":
        native = NativeTransformer(model, tables, half=packing == "native-bf16")
    blocks = []
    for block in model.layers:
        widen, _, narrow = block.network
        assert isinstance(widen, nn.Linear)
        assert isinstance(narrow, nn.Linear)
        blocks.append(
            PackedBlock(
                block=block,
                project_in=_product(with_scaled_queries(block.attention), packing),
                project_out=_product(block.attention.project_out, packing),
                widen=_product(widen, packing),
                narrow=_product(narrow, packing),
            )
        )
    return PackedTransformer(
        model=model,
        packing=packing,
        blocks=tuple(blocks),
        head=_product(model.head.project, packing),
        tables=tables,
        native=native,
    )


def is_available(packing: Packing) -> bool:
    """Tell whether this machine has a layout; a native one is compiled when first asked for."""
    match packing:
        case "native" | "native-bf16":
            return library() is not None
        case "fp16":
            return "fbgemm" in torch.backends.quantized.supported_engines
        case "onednn":
            return torch.backends.mkldnn.is_available()
        case "fp32":
            return True


def _product(layer: nn.Linear, packing: Packing) -> Product:
    weight, bias = layer.weight.detach(), layer.bias
    bias = None if bias is None else bias.detach()
    if packing == "fp16":
        multiply = torch.ops.quantized.linear_dynamic_fp16.default
        half = torch.ops.quantized.linear_prepack_fp16(weight.clone(), bias)
        return lambda x: multiply(x, half)
    if packing == "onednn":
        multiply = torch.ops.mkldnn._linear_pointwise.default
        reordered = torch.ops.mkldnn._reorder_linear_weight(weight.clone(), 1)
        return lambda x: multiply(x, reordered, bias, "none", [], "")
    return lambda x: F.linear(x, weight, bias)
