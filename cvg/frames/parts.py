"""Extraction in parts: films of some rows of the manifest, decoded anywhere and taken in later."""

import hashlib
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from cvg.config import ExtractParams
from cvg.files import read_json, save_arrays, write_json
from cvg.frames.film import Film, Order
from cvg.frames.shooting import Shot, scratch_file, shoot_all
from cvg.remote.url import Place
from cvg.videos.location import SourcePlace, UnusableError
from cvg.videos.manifest import Entry, read_manifest
from cvg.videos.skips import Note, NoteCode, SkipCode

PARTS = 128  # about, of a manifest of few videos
MOST_VIDEOS = 64  # of a part
FILMS, ARRAYS = "films.json", "films.safetensors"  # in the folder of a part


@dataclass(frozen=True, kw_only=True)
class ExtractWork:
    """The decoding of all videos, as work for several processes.

    Attributes:
        manifest: CSV or Parquet manifest, or folder of videos; of one behind a URL the URL alone
            travels, and all who make parts must be able to read it.
        params: what is taken, at which size and rate.
        workers: child processes that decode the videos of a part.
    """

    manifest: Place
    params: ExtractParams
    workers: int

    def open(self) -> "Extraction":
        """Read the manifest."""
        return Extraction(self.manifest, self.params, workers=self.workers)


class Extraction:
    """Decodes the videos of a manifest, some at a time.

    Attributes:
        inputs: the hash of rows and files.
        sizes: videos of each part.
    """

    def __init__(self, manifest: Place, params: ExtractParams, *, workers: int) -> None:
        """Read a manifest.

        Raises:
            UserError: it cannot be read.
        """
        self._entries = read_manifest(
            manifest, folder_files=params.folder_files, follow_links=params.follow_links
        ).entries
        self.inputs = {"data": _digest(self._entries)}
        self._params, self._workers = params, workers
        total = len(self._entries)
        self._size = min(MOST_VIDEOS, max(1, round(total / PARTS)))
        self.sizes = [min(self._size, total - first) for first in range(0, total, self._size)]

    def machine(self) -> dict[str, Any]:
        """Give what of this machine shapes a film."""
        return {name: version(name) for name in ("av", "numpy")}

    def make(self, number: int, folder: Path, *, advance: Callable[[int], None]) -> None:
        """Write the films of a part into `folder`, and why others cannot be used."""
        first = number * self._size
        entries = self._entries[first : first + self._size]
        films, arrays = [], {}
        shots = shoot_all(entries, self._params, folder=folder, workers=self._workers)
        with closing(shots):
            for row, (order, film) in enumerate(shots):
                if isinstance(film, UnusableError):
                    order.discard()
                    films.append({"unusable": {"code": film.code, "reason": film.reason}})
                else:
                    arrays |= {f"{row}.{name}": array for name, array in _arrays(film).items()}
                    films.append(_described(film))
                advance(1)
        save_arrays(folder / ARRAYS, arrays)
        write_json(folder / FILMS, films)


def films_of_parts(
    entries: Sequence[Entry], params: ExtractParams, parts: Sequence[Path]
) -> Generator[Shot, None, None]:
    """Give what `Extraction.make` has written, in the order of the manifest.

    The scratch files stay where they are: what is whole is not spoilt by the one who reads it.
    """
    waiting = iter(entries)
    for part in parts:
        arrays = load_file(part / ARRAYS)
        for row, described in enumerate(read_json(part / FILMS)):
            order = Order(entry=next(waiting), params=params, scratch=scratch_file(part, row))
            yield order, _film(described, arrays, row)


def _digest(entries: Sequence[Entry]) -> str:
    """Hash what is decoded: rows, and sizes and times of their files; no content is read.

    A remote file stands in its row with its size, and its checksum or time.
    """
    digest = hashlib.sha256()
    for entry in entries:
        files = [_state(path) for path in (entry.path, entry.actions, entry.map)]
        digest.update(f"{entry} {files}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _state(path: SourcePlace | None) -> tuple[int, int] | None:
    """Give size and time of a file or folder of this machine; None where there is none."""
    try:
        stat = path.stat() if isinstance(path, Path) else None
    except OSError:
        return None
    return (stat.st_size, stat.st_mtime_ns) if stat else None


def _arrays(film: Film) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {"times_s": film.times_s, "changes": film.changes}
    return arrays if film.actions is None else arrays | {"actions": film.actions}


def _described(film: Film) -> dict[str, Any]:
    return {
        "sha256": film.sha256,
        "content": film.content,
        "width": film.width,
        "height": film.height,
        "fps": film.fps,
        "cuts": film.cuts,
        "notes": [asdict(note) for note in film.notes],
    }


def _film(
    described: Mapping[str, Any], arrays: Mapping[str, np.ndarray], row: int
) -> Film | UnusableError:
    if unusable := described.get("unusable"):
        return UnusableError(SkipCode(unusable["code"]), unusable["reason"])
    notes = [Note(**note | {"code": NoteCode(note["code"])}) for note in described["notes"]]
    return Film(
        **dict(described) | {"cuts": tuple(described["cuts"]), "notes": tuple(notes)},
        times_s=arrays[f"{row}.times_s"],
        changes=arrays[f"{row}.changes"],
        actions=arrays.get(f"{row}.actions"),
    )
