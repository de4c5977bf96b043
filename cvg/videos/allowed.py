"""What the parameters of extraction allow of one source."""

from cvg.config import ExtractParams
from cvg.videos.location import UnusableError
from cvg.videos.look import Header, ReadLimits
from cvg.videos.skips import SkipCode


def read_limits(params: ExtractParams) -> ReadLimits:
    """Give the limits that hold within one source."""
    return ReadLimits(pixels=params.limits.pixels, frames=params.limits.frames)


def check_hdr(header: Header, params: ExtractParams) -> None:
    """Refuse a high dynamic range where none is wanted.

    Raises:
        UnusableError: it has one.
    """
    if header.hdr is not None and params.hdr == "skip":
        reason = f"found high dynamic range ({header.hdr}); extract.hdr = skip expects none"
        raise UnusableError(SkipCode.HDR, reason)
