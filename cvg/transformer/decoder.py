"""Writing videos code by code; computes what `Transformer.forward` computes."""

import torch

from cvg.conditions.batch import Conditions
from cvg.tensors import Bool, Float, Int64, Tensor
from cvg.transformer.cache import Cache
from cvg.transformer.graph import GraphSight, GraphStep, is_wanted
from cvg.transformer.model import Goal
from cvg.transformer.native.step import Frame, NativeFrame, Sight
from cvg.transformer.packing import PackedTransformer

ONE_PASS_FRAMES = 16


class Decoder:
    """The state of videos that are being written, all at the same place of the same frame.

    Frame by frame: `begin` it; `give` the codes that are known. Then, in raster order, `peek` at
    the logits of a place and `put` its code, place after place. In parallel order, `look` at the
    logits of all places as often as need be, and `give` all codes of the frame in the end.

    Attributes:
        model: that writes.
    """

    def __init__(
        self, packed: PackedTransformer, conditions: Conditions, *, goal: Goal | None = None
    ) -> None:
        """Begin before the first frame of videos with these conditions.

        Args:
            packed: in evaluation mode.
            conditions: of each video.
            goal: the frame in which they end.
        """
        self._packed, self.model = packed, packed.model
        self._conditions, self._goal = conditions, goal
        self._tables, m = packed.tables, self.model.layout.num_places
        with torch.inference_mode():
            prefix, self._added = self.model.see_condition(conditions)
            self._cache = Cache(self.model, prefix, goal=goal)
            if goal is not None:
                self._cache.set_goal(self.model.see_goal(goal, prefix, self._added))
        # Of the codes of the present frame, and of what is beyond the edge.
        self._numbers = self._tables.number(conditions.prefix.new_zeros(len(conditions), m))
        self._base = self._added[:, None].repeat(1, m, 1)  # what places have besides their input
        self._has_above = False  # and what predicted places take from the codes above them
        self._before = self._added  # input of its first place in raster order
        self._previous: Int64[Tensor, "b m"] | None = None
        self._earlier: Int64[Tensor, "b m"] | None = None  # one frame before `_previous`
        # For a step in C++ or by a graph: room for what it reads, and it at the present frame.
        self._sight = _sight(packed)
        self._step: NativeFrame | GraphStep | None = None

    @property
    def frame(self) -> int:
        """The number of the frame being written, or to be begun."""
        return self._cache.frame

    @torch.inference_mode()
    def prefill(self, sequence: Int64[Tensor, "b t m"]) -> None:
        """Write the first frames; nothing may have been written before.

        One pass does the first `ONE_PASS_FRAMES`; those after them are given one by one, because
        the memory of a pass grows with the square of its frames.
        """
        assert self._cache.frame == self._cache.place == 0
        count = min(sequence.shape[1], ONE_PASS_FRAMES)
        self._prefill_at_once(sequence[:, :count])
        for frame in sequence[:, count:].unbind(1):
            self.begin()
            self.give(frame)

    def _prefill_at_once(self, sequence: Int64[Tensor, "b t m"]) -> None:
        count = sequence.shape[1]
        brought = self._tables.clips(sequence, self.model.shape.order)
        with self._packed.at_once():
            passed = self.model.process(
                sequence, self._conditions.frames(count), goal=self._goal, brought=brought
            )
        self._cache.set_frames(passed.layers, count=count)
        self._previous = sequence[:, -1]
        self._earlier = sequence[:, -2] if count > 1 else None

    def rewind(self) -> None:
        """Take back the frame that was written last, once; it may then be written otherwise."""
        assert self._cache.place == 0 < self._cache.frame
        self._cache.frame -= 1
        self._previous = self._earlier

    @torch.inference_mode()
    def take(self, rows: Int64[Tensor, "r"]) -> None:
        """Go on with some of the videos, by their numbers, between two frames.

        A video that is taken twice can be gone on with in two ways.
        """
        assert self._cache.place == 0
        self._cache.take(rows)
        self._conditions = self._conditions.take(rows)
        if self._goal is not None:
            self._goal = Goal(codes=self._goal.codes[rows], time=self._goal.time)
        for name in ("_added", "_numbers", "_base", "_before", "_previous", "_earlier"):
            value = getattr(self, name)
            setattr(self, name, None if value is None else value[rows])

    @torch.inference_mode()
    def change(self, conditions: Conditions) -> None:
        """Go on with other conditions from the next frame on."""
        self._conditions = conditions
        prefix, self._added = self.model.see_condition(conditions)
        self._cache.set_prefix(prefix)
        if self._goal is not None:
            self._cache.set_goal(self.model.see_goal(self._goal, prefix, self._added))

    @torch.inference_mode()
    def begin(self) -> None:
        """Begin the next frame."""
        assert self._cache.place == 0
        embedding, count = self.model.code_embedding, len(self._added)
        self._cache.begin_frame()
        self._step = None
        if self._previous is None:
            brought, self._before = embedding.first_frame(count), embedding.start.expand(count, -1)
        else:
            numbers = self._tables.number(self._previous)
            brought = self._tables.next_frame(numbers)
            self._before = self._tables.look_up(numbers[:, -2])
        per_frame = self.model.frame_embedding(self._conditions.frame(self._cache.frame))
        if isinstance(per_frame, Tensor) and per_frame.ndim == 4:
            per_frame = per_frame[:, 0]
        self._base = brought + self._added[:, None] + per_frame
        self._has_above = False

    @torch.inference_mode()
    def give(self, codes: Int64[Tensor, "b n"]) -> Float[Tensor, "b n v"]:
        """Write known codes at the next places of the frame; in parallel order all of them.

        Returns:
            the logits of those places; they mean something in raster order and at predicted places.
        """
        places = slice(self._cache.place, self._cache.place + codes.shape[1])
        self._write(codes, places)
        inputs = self._tables.look_up(self._numbers[:, places])
        if self._raster:
            inputs = torch.cat([self._before_place(places.start)[:, None], inputs[:, :-1]], dim=1)
            inputs = inputs + self._tables.beside(self._numbers, places)
        features = self._base[:, places] + inputs
        if not self._has_above:
            features = features + self._above(places)
        logits = self._predict(self._pass(features), places)
        self._advance(codes.shape[1])
        return logits

    @torch.inference_mode()
    def peek(self) -> Float[Tensor, "b v"]:
        """Give the logits of the next place; its code must follow by `put`."""
        place = self._cache.place
        if not self._has_above:
            # All given codes are there, so what lies above every predicted place is known.
            predicted = slice(self.model.layout.num_given, None)
            self._base[:, predicted] += self._above(predicted)
            self._has_above, self._step = True, None
        if self._sight is not None:
            if self._step is None:
                self._step = self._take_up(self._sight)
            return self._step.logits(place, self._cache.slots(1).start)
        here = slice(place, place + 1)
        beside = self._tables.beside(self._numbers, here)
        features = self._base[:, here] + self._before_place(place)[:, None] + beside
        return self._predict(self._pass(features), here)[:, 0]

    @torch.inference_mode()
    def put(self, codes: Int64[Tensor, "b"]) -> None:
        """Write the codes of the place whose logits `peek` gave."""
        self._write(codes[:, None], slice(self._cache.place, self._cache.place + 1))
        self._advance(1)

    @torch.inference_mode()
    def look(
        self, codes: Int64[Tensor, "b m"], hidden: Bool[Tensor, "b mp"]
    ) -> Float[Tensor, "b mp v"]:
        """Give the logits of all predicted places, where the hidden codes are not known."""
        assert self._cache.place == 0
        everything, given = slice(0, codes.shape[1]), self.model.layout.num_given
        self._write(codes, everything)
        inputs, unknown = self._tables.look_up(codes + self._offsets), hidden[..., None]
        hole = self.model.code_embedding.hidden
        inputs[:, given:] = torch.where(unknown, hole, inputs[:, given:])
        features = self._base + self._above(everything) + inputs
        return self._predict(self._pass(features), everything)[:, given:]

    def _take_up(self, sight: Sight | GraphSight) -> NativeFrame | GraphStep:
        """Take up the present frame, once its keys are where the step reads them."""
        if isinstance(sight, GraphSight):
            self._cache.turn()
        else:
            self._cache.settle()
        return sight.begin(self._frame())

    def _frame(self) -> Frame:
        return Frame(
            keys=[layer.keys for layer in self._cache.layers],
            turned=[layer.turned for layer in self._cache.layers],
            values=[layer.values for layer in self._cache.layers],
            rotation=self._cache.rotation,
            bias=self._cache.bias(1, causal=True),
            base=self._base,
            numbers=self._numbers,
            before=self._before,
            previous=self._previous,
        )

    @property
    def _raster(self) -> bool:
        return self.model.shape.order == "raster"

    @property
    def _offsets(self) -> Int64[Tensor, "m"]:
        """What to add to the code of each place for its number."""
        return self.model.code_embedding.offsets

    def _write(self, codes: Int64[Tensor, "b n"], places: slice) -> None:
        self._numbers[:, places] = codes + self._offsets[places]

    def _before_place(self, place: int) -> Float[Tensor, "b d"]:
        """Give the vector of the code before a place."""
        return self._tables.look_up(self._numbers[:, place - 1]) if place else self._before

    def _above(self, places: slice) -> Float[Tensor, "b n d"]:
        """Give what places take from the codes above them."""
        return self._tables.above(self._numbers, places)

    def _predict(self, features: Float[Tensor, "b n d"], places: slice) -> Float[Tensor, "b n v"]:
        previous = None if self._previous is None else self._previous[:, places]
        return self._packed.predict(features, previous)

    def _pass(self, features: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """Pass the next places through all layers, and keep their keys and values."""
        count = features.shape[1]
        self._cache.turn()
        self._step = None
        slots = self._cache.slots(count)
        bias = self._cache.bias(count, causal=self._raster)
        for packed, layer in zip(self._packed.blocks, self._cache.layers, strict=True):
            features = packed.codes(features, layer, slots=slots, bias=bias)
        return features

    def _advance(self, count: int) -> None:
        self._cache.advance(count)
        if self._cache.place == 0:
            codes = self._numbers[:, :-1] - self._offsets
            self._earlier, self._previous = self._previous, codes


def _sight(packed: PackedTransformer) -> Sight | GraphSight | None:
    """Give room for what another step than PyTorch's own reads, where there is one."""
    if packed.native is not None:
        return packed.native.sight()
    wanted = is_wanted(packed.model.device, packed.model.shape.order)
    return GraphSight(packed) if wanted else None
