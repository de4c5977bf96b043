"""A folder of clips unpacked beside the manifest: whole or not there."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from cvg.errors import UserError
from cvg.files import read_json, replacing_folder, write_json
from cvg.imports.account import Request
from cvg.imports.kinds import Kind

FOLDER = "clips"
MARKER = "clips.json"


class Clips:
    """The folder while it is written, under another name than it will have."""

    def __init__(self, temporary: Path, final: Path) -> None:
        self._temporary = temporary
        self._final = final

    def save(self, name: str, array: Shaped[np.ndarray, "..."]) -> Path:
        """Write an array as `name`.npy; gives the path that it will have."""
        path = self._temporary / f"{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, array, allow_pickle=False)
        return self._final / f"{name}.npy"


@contextmanager
def unpacking(kind: Kind, request: Request) -> Iterator[Clips]:
    """Open the folder `clips` beside the manifest for writing; it replaces an earlier one.

    Raises:
        UserError: the folder is not of this command, or belongs to another manifest.
    """
    folder = request.manifest.parent / FOLDER
    _refuse_other_manifest(folder, request.manifest.name)
    with replacing_folder(folder, marker=MARKER) as temporary:
        yield Clips(temporary, folder)
        write_json(temporary / MARKER, {"kind": kind, "manifest": request.manifest.name})


def _refuse_other_manifest(folder: Path, manifest: str) -> None:
    marker = folder / MARKER
    owner = _owner(marker) if marker.is_file() else manifest
    if owner != manifest and (folder.parent / owner).exists():
        raise UserError(
            f"{folder}: holds the clips of {owner}, which would lose them; give --out in a folder "
            "of its own"
        )


def _owner(marker: Path) -> str:
    value = read_json(marker)
    owner = value.get("manifest") if isinstance(value, dict) else None
    if not isinstance(owner, str):
        raise UserError(
            f"{marker}: found no `manifest`, which this command writes there; give --out in a "
            f"folder of its own, or remove {marker.parent}"
        )
    return owner
