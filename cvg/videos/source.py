"""Every source of frames behind two functions: containers, folders of images, arrays."""

from collections.abc import Iterator

from cvg.remote.stream import Stream
from cvg.videos import arrays, decode, images
from cvg.videos.content import Source
from cvg.videos.graph import SourceFrame
from cvg.videos.look import Fit, Header, Look, ReadLimits

__all__ = ["Fit", "Header", "Look", "ReadLimits", "SourceFrame", "read_frames", "read_header"]

# Of folders of images and of arrays, which do not say theirs.
DEFAULT_FPS = 25.0


def read_header(source: Source, *, fps: float | None = None, limits: ReadLimits) -> Header:
    """Read what a source says of itself, without decoding a frame.

    Args:
        source: a video file, open or not, a folder of images, or an .npy file.
        fps: frames a second of a source that does not say its own; None for 25.
        limits: what passes them is refused.

    Raises:
        UnusableError: it cannot be read here, or passes a limit.
    """
    if isinstance(source, Stream):
        return decode.read_header(source, limits=limits)
    if source.is_dir():
        return images.read_header(source, fps=fps or DEFAULT_FPS, limits=limits)
    if source.suffix.lower() == arrays.SUFFIX:
        return arrays.read_header(source, fps=fps or DEFAULT_FPS, limits=limits)
    return decode.read_header(source, limits=limits)


def read_frames(
    source: Source, *, look: Look, limits: ReadLimits, fps: float | None = None
) -> Iterator[SourceFrame]:
    """Read all frames of a source, in the order of time, each once.

    Args:
        source: a video file, open or not, a folder of images, or an .npy file.
        look: what `SourceFrame.pixels` gives.
        limits: what passes them is refused.
        fps: frames a second of a source that does not say its own; None for 25.

    Raises:
        UnusableError: it cannot be read, breaks off or passes a limit. The whole frames before
            that have been given already.
    """
    if isinstance(source, Stream):
        return decode.read_frames(source, look=look, limits=limits)
    if source.is_dir():
        return images.read_frames(source, look=look, limits=limits, fps=fps or DEFAULT_FPS)
    if source.suffix.lower() == arrays.SUFFIX:
        return arrays.read_frames(source, look=look, limits=limits, fps=fps or DEFAULT_FPS)
    return decode.read_frames(source, look=look, limits=limits)
