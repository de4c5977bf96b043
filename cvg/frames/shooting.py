"""Films of rows of a manifest, decoded by child processes, in the order of the rows."""

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

from cvg.config import ExtractParams
from cvg.frames.film import Film, Order, shoot
from cvg.videos.location import UnusableError
from cvg.videos.manifest import Entry
from cvg.videos.pool import run_in_order

Shot = tuple[Order, Film | UnusableError]


def shoot_all(
    entries: Sequence[Entry], params: ExtractParams, *, folder: Path, workers: int
) -> Generator[Shot, None, None]:
    """Decode rows into scratch files of `folder`; the caller discards them.

    Args:
        entries: rows of the manifest.
        params: what is taken, at which size and rate.
        folder: for the scratch files.
        workers: processes that decode.
    """
    return run_in_order(
        shoot,
        _orders(entries, params, folder),
        workers=workers,
        seconds=params.limits.seconds,
        memory_mb=params.limits.memory_mb,
    )


def scratch_file(folder: Path, number: int) -> Path:
    """Name the scratch file of a row."""
    return folder / f"scratch-{number}.frames"


def _orders(entries: Sequence[Entry], params: ExtractParams, folder: Path) -> Iterator[Order]:
    for number, entry in enumerate(entries):
        yield Order(entry=entry, params=params, scratch=scratch_file(folder, number))
