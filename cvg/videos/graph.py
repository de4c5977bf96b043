"""The one resize: a filter graph of FFmpeg crops, scales and converts decoded frames.

Unusual: the flags ask for exact rounding, so that the bytes are the same on every machine.
"""

from fractions import Fraction
from typing import cast

import av.error
import numpy as np
from av.filter import Graph
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from jaxtyping import UInt8

from cvg.videos.location import UnusableError
from cvg.videos.look import Look
from cvg.videos.skips import SkipCode

SQUARE = Fraction(1)

# Where an axis grows, the area method of swscale is linear interpolation.
FLAGS = "area+accurate_rnd+bitexact+full_chroma_int+full_chroma_inp"

# A filter of swscale has at most 256 taps; what is beyond them it drops without a word.
MOST_REDUCTION = 128

# Numbers of H.273 and FFmpeg's names for them; all others count as not given.
MATRICES = {
    1: "bt709",
    4: "fcc",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    9: "bt2020nc",
    10: "bt2020nc",
}
OF_RGB, UNMARKED = 0, 2
FULL_RANGE = 2

CHANNELS = {"gray": 1, "rgb24": 3, "rgba": 4}

# Players take unmarked videos of this size on for HD.
HD_WIDTH, HD_HEIGHT = 1280, 720


class SourceFrame:
    """One frame of a source; its pixels are computed only when they are asked for.

    Attributes:
        index: its number among the frames of the source.
        time_s: seconds after the first frame.
    """

    __slots__ = ("_frame", "_shaper", "index", "time_s")

    def __init__(self, index: int, time_s: float, frame: VideoFrame, shaper: "Shaper") -> None:
        self.index = index
        self.time_s = time_s
        self._frame = frame
        self._shaper = shaper

    def pixels(self) -> UInt8[np.ndarray, "size size c"]:
        """Give the frame upright and in the look wanted, also after later frames were read.

        Raises:
            UnusableError: FFmpeg cannot convert frames of this kind.
        """
        return self._shaper.shape(self._frame)


class Shaper:
    """Brings frames to one look; its graph is built anew where their kind changes.

    Args:
        look: wanted.
        pixel_aspect: width of a stored pixel by its height, as it is shown.
    """

    def __init__(self, look: Look, *, pixel_aspect: Fraction = SQUARE) -> None:
        self._look = look
        self._pixel_aspect = pixel_aspect
        self._kind: tuple[object, ...] = ()
        self._route: _Route | None = None

    def shape(self, frame: VideoFrame) -> UInt8[np.ndarray, "size size c"]:
        """Give a frame upright, fitted into the square, on the background.

        Raises:
            UnusableError: FFmpeg cannot convert frames of this kind.
        """
        kind = (
            frame.format.name,
            frame.width,
            frame.height,
            frame.colorspace,
            frame.color_range,
            frame.rotation,
        )
        try:
            if self._route is None or kind != self._kind:
                self._route = _Route(frame, self._look, self._pixel_aspect)
                self._kind = kind
            return self._route.pixels(frame)
        except MemoryError:
            # FFmpeg's own as well; what a machine lacks says nothing of the frame.
            raise
        except av.error.FFmpegError as error:
            found = f"{frame.width} x {frame.height} pixels of {frame.format.name}"
            reason = f"found {found}; FFmpeg cannot scale them ({error.strerror})"
            raise UnusableError(SkipCode.CORRUPT, reason) from error


def as_frame(pixels: UInt8[np.ndarray, "h w c"]) -> VideoFrame:
    """Wrap grey, red green blue, or red green blue opacity; the pixels are copied."""
    form = {1: "gray", 3: "rgb24", 4: "rgba"}[pixels.shape[2]]
    flat = pixels[..., 0] if form == "gray" else pixels
    return VideoFrame.from_ndarray(np.ascontiguousarray(flat), format=form)


def has_alpha(form: VideoFormat) -> bool:
    """Tell whether pixels of a format may be transparent."""
    return form.has_palette or any(component.is_alpha for component in form.components)


def opaque(
    pixels: UInt8[np.ndarray, "h w 4"], background: tuple[int, int, int]
) -> UInt8[np.ndarray, "h w 3"]:
    """Put red, green, blue and opacity on a background, rounded to the nearest."""
    opacity = pixels[..., 3:].astype(np.uint16)
    behind = np.asarray(background, dtype=np.uint16)
    mixed = pixels[..., :3] * opacity + behind * (255 - opacity)
    return ((mixed + 127) // 255).astype(np.uint8)


class _Route:
    """The way of all frames of one kind: background, graph, bars, orientation."""

    def __init__(self, frame: VideoFrame, look: Look, pixel_aspect: Fraction) -> None:
        self._look = look
        self._turn = _Turn(frame)
        self._whole: _Chain | None = None
        if has_alpha(frame.format):
            same = [(frame.width, frame.height)]
            self._whole = _Chain(frame, crop=None, steps=same, output="rgba")
            frame = self._flat(self._whole, frame)
        steps, crop = _fit(frame.width, frame.height, look, pixel_aspect)
        output = "rgb24" if look.channels == 3 else "gray"
        self._chain = _Chain(frame, crop=crop, steps=steps, output=output)

    def pixels(self, frame: VideoFrame) -> UInt8[np.ndarray, "size size c"]:
        if self._whole is not None:
            frame = self._flat(self._whole, frame)
        pixels = self._chain.convert(frame)
        if self._look.fit == "pad":
            pixels = _padded(pixels, self._look)
        return self._turn.apply(pixels)

    def _flat(self, whole: "_Chain", frame: VideoFrame) -> VideoFrame:
        flat = opaque(whole.convert(frame), self._look.background)
        return as_frame(flat)


class _Chain:
    """A filter graph for frames of one kind."""

    def __init__(
        self,
        frame: VideoFrame,
        *,
        crop: tuple[int, int, int, int] | None,
        steps: list[tuple[int, int]],
        output: str,
    ) -> None:
        between = {"rgb": "gbrp", "grey": "gray"}.get(_family(frame.format), "yuv444p")
        # The planes of gbrp are computed with vector instructions, those of rgb24 are not.
        formats = [between] * (len(steps) - 1) + ["gbrp" if output == "rgb24" else output]
        # What is not in the list of the scaler, such as a reserved transfer, is an error to it.
        unknown = "color_primaries=unknown:color_trc=unknown"
        filters = [("setparams", f"{unknown}:{_colours(frame)}")]
        if crop is not None:
            width, height, left, top = crop
            filters.append(("crop", f"{width}:{height}:{left}:{top}:exact=1"))
        for (width, height), form in zip(steps, formats, strict=True):
            full = ":out_range=pc" if form == "gray" else ""
            size = f"{width}:{height}"
            filters.append(("scale", f"{size}:flags={FLAGS}{full}"))
            filters.append(("format", form))
        if output == "rgb24":
            filters += [("scale", f"flags={FLAGS}"), ("format", output)]
        self._shape = (steps[-1][1], steps[-1][0], CHANNELS[output])
        self._graph = Graph()
        self._graph.threads = 1
        self._source = self._graph.add("buffer", _source_arguments(frame))
        nodes = [self._graph.add(name, arguments) for name, arguments in filters]
        self._sink = self._graph.add("buffersink")
        self._graph.link_nodes(self._source, *nodes, self._sink).configure()

    def convert(self, frame: VideoFrame) -> UInt8[np.ndarray, "h w c"]:
        self._source.push(frame)
        height, width, channels = self._shape
        plane = cast(VideoFrame, self._sink.pull()).planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8, count=height * plane.line_size)
        return rows.reshape(height, -1)[:, : width * channels].reshape(self._shape).copy()


class _Turn:
    """How a picture is turned and mirrored so that it stands upright."""

    def __init__(self, frame: VideoFrame) -> None:
        matrix = frame.side_data.get("DISPLAYMATRIX")
        # It gives the place x' = a x + c y, y' = b x + d y that each pixel is shown at.
        a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5] if matrix else (1, 0, 0, 0, 1)
        self._swap = abs(int(b)) + abs(int(c)) > abs(int(a)) + abs(int(d))
        across, down = (c, b) if self._swap else (a, d)
        self._mirror = (-1 if down < 0 else 1, -1 if across < 0 else 1)

    def apply(self, pixels: UInt8[np.ndarray, "n n c"]) -> UInt8[np.ndarray, "n n c"]:
        if not self._swap and self._mirror == (1, 1):
            return pixels
        if self._swap:
            pixels = pixels.swapaxes(0, 1)
        down, across = self._mirror
        return np.ascontiguousarray(pixels[::down, ::across])


def _source_arguments(frame: VideoFrame) -> str:
    known = frame.colorspace in MATRICES or frame.colorspace == OF_RGB
    return (
        f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base=1/1000:"
        f"pixel_aspect=1/1:colorspace={frame.colorspace if known else UNMARKED}:"
        f"range={frame.color_range}"
    )


def _family(form: VideoFormat) -> str:
    if form.is_rgb or form.is_bayer or form.has_palette:
        return "rgb"
    return "grey" if sum(not component.is_alpha for component in form.components) == 1 else "yuv"


def _colours(frame: VideoFrame) -> str:
    """Name matrix and range of a frame, as players take them where it does not say."""
    family = _family(frame.format)
    if family == "rgb":
        return "colorspace=gbr:range=pc"
    hd = frame.width >= HD_WIDTH or frame.height >= HD_HEIGHT
    matrix = MATRICES.get(frame.colorspace, "bt709" if hd else "smpte170m")
    # The formats that are called yuvj are of full range, whatever is said here.
    full = frame.color_range == FULL_RANGE if frame.color_range else family == "grey"
    return f"colorspace={matrix}:range={'pc' if full else 'tv'}"


def _fit(
    width: int, height: int, look: Look, pixel_aspect: Fraction
) -> tuple[list[tuple[int, int]], tuple[int, int, int, int] | None]:
    """Give the scalings, and width, height, left and top of what is cropped before them."""
    size = look.size
    # In the largest unit of which both sides of a pixel, as shown, are a whole number.
    across, down = pixel_aspect.as_integer_ratio()
    shown = (width * across, height * down)
    match look.fit:
        case "crop":
            side = min(shown)
            columns, rows = _divided(side, across), _divided(side, down)
            crop = (columns, rows, (width - columns) // 2, (height - rows) // 2)
            return _steps((columns, rows), (size, size)), crop
        case "pad":
            longest = max(shown)
            inner = (_divided(size * shown[0], longest), _divided(size * shown[1], longest))
            return _steps((width, height), inner), None
        case "squash":
            return _steps((width, height), (size, size)), None


def _steps(source: tuple[int, int], target: tuple[int, int]) -> list[tuple[int, int]]:
    """Give the sizes on the way; the last is `target`."""
    steps = []
    size = source
    while size != target or not steps:
        size = (_next(size[0], target[0]), _next(size[1], target[1]))
        steps.append(size)
    return steps


def _next(length: int, target: int) -> int:
    """Reduce to a multiple of `target`, so that areas nest, and no further than one step can."""
    return target * -(-length // (MOST_REDUCTION * target))


def _divided(length: int, parts: int) -> int:
    """Divide to the nearest, at least 1."""
    return max(1, (2 * length + parts) // (2 * parts))


def _padded(pixels: UInt8[np.ndarray, "h w c"], look: Look) -> UInt8[np.ndarray, "size size c"]:
    height, width, channels = pixels.shape
    red, green, blue = look.background
    padded = np.empty((look.size, look.size, channels), dtype=np.uint8)
    # The luma of BT.601, as FFmpeg computes it for grey from red, green and blue.
    grey = (299 * red + 587 * green + 114 * blue + 500) // 1000
    padded[:] = look.background if channels == 3 else grey
    top, left = (look.size - height) // 2, (look.size - width) // 2
    padded[top : top + height, left : left + width] = pixels
    return padded
