"""Writing videos place by place; computes exactly what `Transformer.forward` computes."""

import torch

from cvg.tensors import Float, Int64, Tensor
from cvg.transformer.cache import Cache, LayerCache
from cvg.transformer.model import Transformer


class Decoder:
    """The state of videos that are being written, all at the same place of the same frame."""

    def __init__(self, model: Transformer, conditions: Int64[Tensor, "b p"]) -> None:
        """Begin before the first frame of videos with these conditions.

        Args:
            model: in evaluation mode.
            conditions: of each video.
        """
        self._model = model
        with torch.no_grad():
            prefix, self._added = model.see_condition(conditions)
            self._table = model.code_embedding.table()
        num_places, window = model.layout.num_places, model.shape.window
        layers = []
        for seen in prefix:
            b, a, _, e = seen.keys.shape
            ring = seen.keys.new_zeros(b, a, window * num_places, e)
            layers.append(LayerCache(prefix=seen, keys=ring, values=ring.clone()))
        self._cache = Cache(layers, window=window, num_places=num_places)
        self._codes = torch.zeros(
            len(conditions), num_places, dtype=torch.int64, device=conditions.device
        )
        self._before = model.code_embedding.start.detach().expand(len(conditions), -1)
        self._brought = model.code_embedding.first_frame(len(conditions)).detach()
        self._previous: Int64[Tensor, "b m"] | None = None

    @torch.no_grad()
    def feed(self, codes: Int64[Tensor, "b n"]) -> Float[Tensor, "b n v"]:
        """Write known codes at the next places of the present frame.

        Returns:
            the logits of those places, each from the codes before it; at given places they mean
            nothing, no code is predicted there.
        """
        first, count = self._cache.place, codes.shape[1]
        self._codes[:, first : first + count] = codes
        logits = self._process(first, count)
        if self._cache.place == 0:
            self._begin_frame()
        return logits

    @torch.no_grad()
    def peek(self) -> Float[Tensor, "b v"]:
        """Give the logits of the next place; its code must follow by `put`."""
        return self._process(self._cache.place, 1)[:, 0]

    @torch.no_grad()
    def put(self, codes: Int64[Tensor, "b"]) -> None:
        """Write the codes of the place whose logits `peek` gave."""
        self._codes[:, self._cache.place - 1] = codes
        if self._cache.place == 0:
            self._begin_frame()

    def _process(self, first: int, count: int) -> Float[Tensor, "b n v"]:
        embedding = self._model.code_embedding
        frames = embedding.look_up(self._table, self._codes)
        features = self._brought + embedding.within_frame(frames, self._before)
        places = slice(first, first + count)
        features = features[:, places] + self._added[:, None]
        for block, layer in zip(self._model.layers, self._cache.layers, strict=True):
            features = block.cached(features, layer=layer, cache=self._cache)
        self._cache.advance(count)
        return self._model.predict(features, self._repeated(places))

    def _repeated(self, places: slice) -> Int64[Tensor, "b n"] | None:
        """Give the codes one frame before; at given places any, nothing is predicted there."""
        if self._previous is None:
            return None
        largest = self._model.layout.predicted.codebook_size - 1
        return self._previous[:, places].clamp(max=largest)

    def _begin_frame(self) -> None:
        embedding = self._model.code_embedding
        frames = embedding.look_up(self._table, self._codes)
        self._previous = self._codes.clone()
        self._before = frames[:, -1]
        self._brought = embedding.next_frame(frames)
