"""Sources opened where they lie: on this machine, or behind a URL, block by block if it may be."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TypeVar

from cvg.remote.files import RemoteFile, copy_to
from cvg.remote.stream import FRAMES_BLOCK, Stream, UnseekableError
from cvg.videos import arrays
from cvg.videos.content import Source
from cvg.videos.location import SourcePlace, UnusableError
from cvg.videos.skips import SkipCode

Result = TypeVar("Result")


def reading(
    place: SourcePlace,
    read: Callable[[Source], Result],
    *,
    copy: Path | None = None,
    block: int = FRAMES_BLOCK,
) -> Result:
    """Call a function with a source that is open; where it cannot be sought in, with a copy.

    Args:
        place: on this machine, or behind a URL.
        read: is called once more with a copy, where a server turns out to give no parts of files.
        copy: the name of a copy; None for one among the temporary files.
        block: bytes that are fetched at once.

    Raises:
        UnusableError: the file is gone, or what `read` raised.
        UserError: the file system cannot be read.
    """
    if isinstance(place, Path):
        return read(place)
    if place.suffix != arrays.SUFFIX:  # arrays are mapped, so they must lie on a disk
        try:
            return _streaming(place, read, block)
        except UnseekableError:
            pass
    with local(place, copy=copy) as path:
        return read(path)


@contextmanager
def local(place: SourcePlace, *, copy: Path | None = None) -> Iterator[Path]:
    """Give a source on this machine; what lies elsewhere is copied, and removed at the end.

    Args:
        place: on this machine, or behind a URL.
        copy: the name of a copy; None for one among the temporary files.

    Raises:
        UnusableError: the file is gone.
        UserError: the file system cannot be read.
    """
    if isinstance(place, Path):
        yield place
        return
    with tempfile.TemporaryDirectory() if copy is None else nullcontext() as folder:
        path = copy or Path(folder or "") / f"copy{place.suffix}"
        try:
            with _missing(place):
                copy_to(place, path)
            yield path
        finally:
            path.unlink(missing_ok=True)


def _streaming(file: RemoteFile, read: Callable[[Source], Result], block: int) -> Result:
    with _missing(file):
        stream = Stream(file, block=block)
    with stream:
        try:
            result = read(stream)
        except Exception:
            # Where the reading failed, nothing else is said of the video.
            with _missing(file):
                stream.check()
            raise
        with _missing(file):
            stream.check()
        return result


@contextmanager
def _missing(file: RemoteFile) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        reason = f"no such file any more at {file}; expected what was listed there"
        raise UnusableError(SkipCode.MISSING_FILE, reason) from error
