"""A folder of images as a video: one image a frame, in the natural order of the names."""

import errno
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from cvg.videos.graph import Shaper, SourceFrame, as_frame
from cvg.videos.location import (
    IMAGE_SUFFIXES,
    UnusableError,
    is_image,
    shown,
    system_reason,
)
from cvg.videos.look import Header, Look, ReadLimits
from cvg.videos.skips import SkipCode

GREY_MODES = {"1", "L"}
WIDE_GREY_MODES = {"I", "I;16", "I;16L", "I;16B", "I;16N"}
ALPHA_MODES = {"LA", "La", "PA", "RGBA", "RGBa"}


def read_header(folder: Path, *, fps: float, limits: ReadLimits) -> Header:
    """Count the images of a folder and look at the first; none is decoded.

    Raises:
        UnusableError: there is none, the first cannot be read, or a limit is passed.
    """
    names = _image_names(folder, limits)
    with _opened(folder / names[0], limits) as image:
        return Header(
            width=image.width,
            height=image.height,
            fps=fps,
            duration_s=len(names) / fps,
            num_frames=len(names),
            alpha=_has_alpha(image),
        )


def read_frames(
    folder: Path, *, look: Look, limits: ReadLimits, fps: float
) -> Iterator[SourceFrame]:
    """Give the images of a folder as frames, `fps` of them a second.

    Each is fitted by itself. Of an animated image the first picture is taken. Hidden files,
    folders, and files whose names are not those of images are ignored.

    Raises:
        UnusableError: there is none, one cannot be read, or a limit is passed. The images before
            that have been given already.
    """
    shaper = Shaper(look)
    for index, name in enumerate(_image_names(folder, limits)):
        with _opened(folder / name, limits) as image:
            frame = as_frame(_pixels(image))
        yield SourceFrame(index, index / fps, frame, shaper)


def natural_key(name: str) -> tuple[list[tuple[str, int]], str]:
    """Give what names are ordered by so that `img2` comes before `img10`.

    >>> sorted(["b1", "a10", "a2", "a02"], key=natural_key)
    ['a02', 'a2', 'a10', 'b1']
    """
    pieces = re.findall(r"([^0-9]*)([0-9]*)", name)
    return [(text, int(digits[:100] or -1)) for text, digits in pieces], name


def _image_names(folder: Path, limits: ReadLimits) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if is_image(entry)]
    except OSError as error:
        reason = f"this folder cannot be listed ({system_reason(error)}); expected images"
        raise UnusableError(SkipCode.UNREADABLE, reason) from error
    if not names:
        suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
        reason = f"found a folder without images; expected files of {suffixes}"
        raise UnusableError(SkipCode.NOT_REGULAR_FILE, reason)
    if len(names) > limits.frames:
        reason = f"found {len(names)} images; expected at most {limits.frames}"
        raise UnusableError(SkipCode.TOO_LONG, reason)
    return sorted(names, key=natural_key)


@contextmanager
def _opened(path: Path, limits: ReadLimits) -> Iterator[Image.Image]:
    """Open an image by its content; what fails inside the block fails as this image."""
    name = shown(path.name)
    most, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, limits.pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                yield image
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        pixels = re.search(r"\((\d+) pixels\)", str(error))
        found = pixels[1] if pixels else "more"
        reason = f"found {found} pixels in the image {name}; expected at most {limits.pixels}"
        raise UnusableError(SkipCode.TOO_LARGE, reason) from error
    except UnidentifiedImageError as error:
        reason = f"the image {name} is of no kind that Pillow knows; expected a whole image"
        raise UnusableError(SkipCode.CORRUPT, reason) from error
    except (MemoryError, UnusableError):
        raise
    # Decoders fail in many ways on damaged data, and none of them may end the command.
    except Exception as error:
        if _memory_ran_out(error):
            raise MemoryError(f"the image {name}") from error
        text = shown(str(error).replace(str(path), name))
        reason = f"the image {name} cannot be decoded ({text}); expected a whole image"
        raise UnusableError(SkipCode.CORRUPT, reason) from error
    finally:
        Image.MAX_IMAGE_PIXELS = most


def _memory_ran_out(error: Exception) -> bool:
    """Tell it from damage: what a machine lacks says nothing of the image."""
    # Pillow's decoders say so in words alone.
    in_words = isinstance(error, OSError) and str(error).startswith("out of memory")
    return in_words or getattr(error, "errno", None) == errno.ENOMEM


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ALPHA_MODES or "transparency" in image.info


def _pixels(image: Image.Image) -> UInt8[np.ndarray, "h w c"]:
    """Give an image upright, as grey, as red, green and blue, or with opacity as the fourth."""
    image = ImageOps.exif_transpose(image)
    if _has_alpha(image):
        return np.asarray(image.convert("RGBA"))
    if image.mode in WIDE_GREY_MODES:
        values = np.asarray(image).astype(np.int64).clip(0, 65535)
        return ((2 * values[..., None] + 257) // 514).astype(np.uint8)
    if image.mode == "F":
        reason = "found an image of floating-point numbers; expected whole numbers of 8 or 16 bits"
        raise UnusableError(SkipCode.NOT_MEDIA, reason)
    if image.mode in GREY_MODES:
        return np.asarray(image.convert("L"))[..., None]
    return np.asarray(image.convert("RGB"))
