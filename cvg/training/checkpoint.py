"""Checkpoints: the whole state of a run in one safetensors file, so that it can go on.

A state is a tree of dicts, lists, tuples, tensors and JSON values. Its tensors are stored under
numbers, the tree itself as JSON under the name `tree`. The name of a file carries its step and its
SHA-256, so that a damaged file is known.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from cvg.errors import UserError
from cvg.files import replacing_file, sha256_file
from cvg.tensors import Tensor
from cvg.training.messages import warn

KEPT = 2  # the last one, and the one before in case the last one is damaged
TREE = "tree"

_NAME = re.compile(r"step-(\d+)-([0-9a-f]{64})\.safetensors")


class Checkpoints:
    """The checkpoints of one run, in a folder of their own; one process at a time."""

    def __init__(self, folder: Path) -> None:
        """Keep checkpoints in `folder`, which is made with the first of them."""
        self.folder = folder

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write the state after `step` steps, then remove all but the last two.

        Raises:
            TypeError: the state holds something else than dicts, lists, tuples, tensors, texts,
                numbers, truth values and None.
            OSError, SafetensorError: the file cannot be written.
        """
        new = self.folder / "new.safetensors"
        with replacing_file(new) as temporary:
            save_file(pack(state), temporary)
        new.replace(self.folder / f"step-{step:09d}-{sha256_file(new)}.safetensors")
        for path in self._newest_first()[KEPT:]:
            path.unlink()

    def latest(self) -> tuple[int, dict[str, Any]] | None:
        """Give step and state of the newest checkpoint that is whole, or None where there is none.

        A damaged one is told of and removed.
        """
        for path in self._newest_first():
            step, digest = _parts(path)
            if sha256_file(path) == digest:
                return step, unpack(load_file(path))
            warn(f"checkpoint {path} is damaged and is removed; the one before it is used, if any")
            path.unlink()
        return None

    def at(self, step: int) -> dict[str, Any]:
        """Give the state after `step` steps, which another rank has found whole.

        Raises:
            UserError: this rank does not find it.
        """
        for path in self._newest_first():
            if _parts(path)[0] == step:
                return unpack(load_file(path))
        raise UserError(
            f"{self.folder}: the first rank finds a checkpoint of step {step} here, another one "
            "does not; let CVG_STATE_DIR name a folder that all machines share"
        )

    def newest(self) -> Path | None:
        """Give the file of the newest checkpoint."""
        return next(iter(self._newest_first()), None)

    def _newest_first(self) -> list[Path]:
        found = (path for path in self.folder.glob("step-*") if _NAME.fullmatch(path.name))
        return sorted(found, key=lambda path: _parts(path)[0], reverse=True)


def tensors_of(node: Any) -> Iterator[Tensor]:
    """Give all tensors of a tree."""
    if isinstance(node, Tensor):
        yield node
    elif isinstance(node, dict | list | tuple):
        for part in node.values() if isinstance(node, dict) else node:
            yield from tensors_of(part)


def pack(state: dict[str, Any]) -> dict[str, Tensor]:
    """Turn a tree into tensors by name, one of which holds the tree as JSON."""
    tensors: list[Tensor] = []
    tree = json.dumps(_to_json(state, tensors)).encode()
    packed = {str(number): tensor for number, tensor in enumerate(tensors)}
    return packed | {TREE: torch.frombuffer(bytearray(tree), dtype=torch.uint8)}


def unpack(packed: dict[str, Tensor]) -> dict[str, Any]:
    """Turn what `pack` gave into the tree again; tensors are on the CPU."""
    return _from_json(json.loads(packed[TREE].numpy().tobytes()), packed)


def _to_json(node: Any, tensors: list[Tensor]) -> Any:
    """Mark what JSON does not know, and append the tensors to `tensors`."""
    if isinstance(node, Tensor):
        # A copy, because safetensors refuses tensors that share memory.
        tensors.append(node.detach().to("cpu", copy=True).contiguous())
        return {"tensor": str(len(tensors) - 1)}
    if isinstance(node, dict):
        return {"dict": [[_key(key), _to_json(value, tensors)] for key, value in node.items()]}
    if isinstance(node, list | tuple):
        kind = "tuple" if isinstance(node, tuple) else "list"
        return {kind: [_to_json(value, tensors) for value in node]}
    if node is None or isinstance(node, bool | int | float | str):
        return node
    raise TypeError(f"a checkpoint holds no {type(node).__name__}: {node!r}")


def _key(key: Any) -> str | int:
    if isinstance(key, str | int) and not isinstance(key, bool):
        return key
    raise TypeError(f"a checkpoint holds no key of type {type(key).__name__}: {key!r}")


def _from_json(node: Any, packed: dict[str, Tensor]) -> Any:
    if not isinstance(node, dict):
        return node
    ((kind, content),) = node.items()
    if kind == "tensor":
        return packed[content]
    if kind == "dict":
        return {key: _from_json(value, packed) for key, value in content}
    values: Iterator[Any] = (_from_json(value, packed) for value in content)
    return tuple(values) if kind == "tuple" else list(values)


def _parts(path: Path) -> tuple[int, str]:
    """Give step and SHA-256 of the name of a checkpoint."""
    found = _NAME.fullmatch(path.name)
    assert found, path
    return int(found[1]), found[2]
