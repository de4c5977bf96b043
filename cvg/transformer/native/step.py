"""A transformer whose weights lie as the step in C++ reads them."""

import ctypes
import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from cvg.tensors import Float, Int64, Tensor
from cvg.transformer.attention import Rotation, with_scaled_queries
from cvg.transformer.model import Transformer
from cvg.transformer.native.build import library
from cvg.transformer.tables import CodeTables

_FLOATS = ctypes.POINTER(ctypes.c_float)


class _Position(ctypes.Structure):
    """Mirrors `Position` of step.cpp, which says what the arrays are."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("videos", "slots", "places", "place", "slot")),
        *((name, ctypes.c_int32) for name in ("vocabulary", "has_previous")),
        *((name, ctypes.c_void_p) for name in ("keys", "values", "cosines", "sines", "bias")),
        *((name, ctypes.c_void_p) for name in ("base", "before", "own", "beside")),
        *((name, ctypes.c_void_p) for name in ("numbers", "neighbours", "previous", "logits")),
    )


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The arrays of a decoder while it writes one frame; of float32.

    Attributes:
        keys: by layer, not turned.
        turned: by layer, the same turned to the frame; what a graph reads in place of them.
        values: by layer.
        rotation: turns the keys of each slot to the frame.
        bias: 0 for the slots in sight, else minus infinity.
        base: what the places have besides their input.
        numbers: of the codes of the frame, as `CodeTables.number` gives them.
        before: input of the first place.
        previous: codes of the frame before; None in a first frame.
    """

    keys: list[Float[Tensor, "b a k e"]]
    turned: list[Float[Tensor, "b a e k"]]
    values: list[Float[Tensor, "b a k e"]]
    rotation: Rotation
    bias: Float[Tensor, "b 1 1 k"]
    base: Float[Tensor, "b m d"]
    numbers: Int64[Tensor, "b m1"]
    before: Float[Tensor, "b d"]
    previous: Int64[Tensor, "b m"] | None


class NativeTransformer:
    """The weights of a model, laid out anew, and what they make of one code of each video.

    Results depend neither on the number of threads nor on the other videos of a batch.

    Attributes:
        rounds_inputs: whether what is multiplied by matrices is rounded to bfloat16.
    """

    def __init__(self, model: Transformer, tables: CodeTables, *, half: bool) -> None:
        """Copy the weights.

        Args:
            model: of float32 weights on the CPU, in raster order; trained no more.
            tables: of its codes; they are read where they are.
            half: read matrices, keys and values as bfloat16, half the bytes for each code, and
                round the inputs of matrices too where the processor multiplies such numbers.

        Raises:
            RuntimeError: the step cannot be compiled here; `library` tells.
        """
        compiled = library()
        if compiled is None:
            raise RuntimeError("the native step is not available")
        self._library: Any = compiled
        self.rounds_inputs = half and bool(compiled.cvg_rounds_inputs())
        self._tables = tables
        self._neighbours = tables.from_beside.places
        shape, predicted = model.shape, model.layout.predicted
        self._codes = predicted.codebook_size
        self._library.cvg_create.restype = ctypes.c_void_p
        self._handle = ctypes.c_void_p(
            self._library.cvg_create(
                shape.width,
                shape.layers,
                shape.heads,
                self._codes,
                shape.code_dim,
                torch.get_num_threads(),
                int(half),
            )
        )
        weakref.finalize(self, compiled.cvg_destroy, self._handle)
        self._copy(model)

    def sight(self) -> "Sight":
        """Give room for what the frames of some videos see, one after the other."""
        return Sight(self, self._library)

    def _copy(self, model: Transformer) -> None:
        for number, block in enumerate(model.layers):
            widen, _, narrow = block.network
            matrices = (
                with_scaled_queries(block.attention),
                block.attention.project_out,
                widen,
                narrow,
            )
            for which, layer in enumerate(matrices):
                self._set_matrix(number, which, layer)
            for which, norm in enumerate((block.attention_norm, block.network_norm)):
                self._set_norm(number, which, norm)
        self._set_matrix(-1, 0, model.head.project)
        self._set_norm(-1, 0, model.head.norm)
        vectors = model.code_embedding.codebook_vectors[-self._codes :].contiguous()
        squares = vectors.square().sum(1)
        self._library.cvg_set_codebook(self._handle, _floats(vectors), _floats(squares))

    def _set_matrix(self, layer: int, which: int, linear: nn.Module) -> None:
        assert isinstance(linear, nn.Linear)
        weight = linear.weight.detach().contiguous()
        bias = None if linear.bias is None else linear.bias.detach().contiguous()
        self._library.cvg_set_matrix(
            self._handle,
            layer,
            which,
            _floats(weight),
            None if bias is None else _floats(bias),
            *weight.shape,
        )

    def _set_norm(self, layer: int, which: int, norm: nn.LayerNorm) -> None:
        scale, shift = norm.weight.detach().contiguous(), norm.bias.detach().contiguous()
        self._library.cvg_set_norm(self._handle, layer, which, _floats(scale), _floats(shift))


class Sight:
    """What a frame of some videos sees, laid out as the step reads it."""

    def __init__(self, model: NativeTransformer, compiled: ctypes.CDLL) -> None:
        """Begin with nothing in sight."""
        self._model = model
        compiled.cvg_create_sight.restype = ctypes.c_void_p
        self._handle = ctypes.c_void_p(compiled.cvg_create_sight())
        weakref.finalize(self, compiled.cvg_destroy_sight, self._handle)

    def begin(self, frame: Frame) -> "NativeFrame":
        """Take up a frame, whose arrays are read and written in place."""
        return NativeFrame(self._model, self, frame)


class NativeFrame:
    """One frame of some videos that is being written."""

    def __init__(self, model: NativeTransformer, sight: Sight, frame: Frame) -> None:
        """Lay out what is in sight, and note where the arrays are.

        Args:
            model: that writes.
            sight: where it is laid out; what was there is gone.
            frame: whose arrays must stay where they are while it is written.
        """
        self._model, self._sight, self._frame = model, sight, frame
        rotation, tables = frame.rotation, model._tables
        arrays = (*frame.keys, *frame.values, rotation.cosines, rotation.sines)
        arrays += (frame.bias, frame.base, tables.own, tables.from_beside.rows)
        assert all(array.dtype == torch.float32 and array.is_contiguous() for array in arrays)
        assert frame.numbers.is_contiguous()
        self._before = frame.before.contiguous()
        self._previous = None if frame.previous is None else frame.previous.contiguous()
        videos, places, _ = frame.base.shape
        self._logits = frame.base.new_empty(videos, model._codes)
        layers = len(frame.keys)
        pointers = ctypes.c_void_p * layers
        self._keys = pointers(*(array.data_ptr() for array in frame.keys))
        self._values = pointers(*(array.data_ptr() for array in frame.values))
        previous = self._previous
        self._position = _Position(
            videos=videos,
            slots=frame.bias.shape[-1],
            places=places,
            vocabulary=len(tables.own),
            has_previous=previous is not None,
            keys=ctypes.addressof(self._keys),
            values=ctypes.addressof(self._values),
            cosines=rotation.cosines.data_ptr(),
            sines=rotation.sines.data_ptr(),
            bias=frame.bias.data_ptr(),
            base=frame.base.data_ptr(),
            before=self._before.data_ptr(),
            own=tables.own.data_ptr(),
            beside=tables.from_beside.rows.data_ptr(),
            numbers=frame.numbers.data_ptr(),
            neighbours=model._neighbours.data_ptr(),
            previous=None if previous is None else previous.data_ptr(),
            logits=self._logits.data_ptr(),
        )
        self._call("cvg_begin")

    def logits(self, place: int, slot: int) -> Float[Tensor, "b v"]:
        """Give the logits of a place, and keep its keys and values.

        Args:
            place: in the frame.
            slot: where its keys and values are kept.
        """
        self._position.place, self._position.slot = place, slot
        self._call("cvg_step")
        return self._logits.clone()

    def _call(self, name: str) -> None:
        function = getattr(self._model._library, name)
        function(self._model._handle, self._sight._handle, ctypes.byref(self._position))


def _floats(tensor: Tensor) -> Any:
    """Give the address of an array of float32."""
    assert tensor.dtype == torch.float32
    assert tensor.is_contiguous()
    return ctypes.cast(tensor.data_ptr(), _FLOATS)
