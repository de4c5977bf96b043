"""Where a video of a manifest lies on this machine, and whether it can be read at all."""

import importlib.util
import stat
from pathlib import Path, PurePosixPath

from cvg.videos.skips import SkipCode

PACKAGE_PREFIX = "package:"


class UnusableError(Exception):
    """A file that cannot be used.

    Attributes:
        code: of its skip.
        reason: what was found and what was expected, as a sentence.
    """

    def __init__(self, code: SkipCode, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


def locate(text: str, *, folder: Path) -> Path:
    """Find the regular file that a cell of a manifest names.

    Args:
        text: a path relative to `folder`, an absolute path, or `package:NAME/PATH`, a file inside
            an installed package, which is found without importing it.
        folder: the folder of the manifest.

    Raises:
        UnusableError: there is no such file, or it is no regular file that can be read.
    """
    if text.startswith(PACKAGE_PREFIX):
        path = _package_file(text.removeprefix(PACKAGE_PREFIX))
    else:
        path = folder / text
    check_regular(path)
    return path


def check_regular(path: Path) -> None:
    """Refuse everything but a regular file with content; nothing is opened, so no FIFO can hang.

    Raises:
        UnusableError: with the code and the sentence of the skip.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        reason = "no such file; expected a video, paths are relative to the manifest"
        if path.is_symlink():
            reason = "a link to a file that does not exist; expected a video"
        raise UnusableError(SkipCode.MISSING_FILE, reason) from None
    except (OSError, ValueError) as error:
        reason = f"cannot be looked up ({_system_reason(error)}); expected a readable file"
        raise UnusableError(SkipCode.UNREADABLE, reason) from None
    if not stat.S_ISREG(status.st_mode):
        reason = f"found {_kind(status.st_mode)}; expected a regular file"
        raise UnusableError(SkipCode.NOT_REGULAR_FILE, reason)
    if status.st_size == 0:
        raise UnusableError(SkipCode.EMPTY_FILE, "found 0 bytes; expected a video")
    try:
        path.open("rb").close()
    except OSError as error:
        reason = f"cannot be opened ({_system_reason(error)}); expected a readable file"
        raise UnusableError(SkipCode.UNREADABLE, reason) from None


def _package_file(text: str) -> Path:
    package, _, inside = text.partition("/")
    parts = PurePosixPath(inside).parts
    if not package.isidentifier() or not parts or ".." in parts or inside.startswith("/"):
        reason = f"found {PACKAGE_PREFIX}{text}; expected package:NAME/PATH without `..`"
        raise UnusableError(SkipCode.BAD_ROW, reason)
    spec = importlib.util.find_spec(package)
    roots = list(spec.submodule_search_locations or ()) if spec else []
    if not roots:
        reason = f"the Python package {package} is not installed; install it with pip"
        raise UnusableError(SkipCode.MISSING_FILE, reason)
    for root in roots:
        path = Path(root).joinpath(*parts)
        if path.resolve().is_relative_to(Path(root).resolve()) and path.exists():
            return path
    reason = f"the installed package {package} has no file {inside} inside its folder"
    raise UnusableError(SkipCode.MISSING_FILE, reason)


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "a special file")


def _system_reason(error: OSError | ValueError) -> str:
    """Name the reason without the path, which would differ from machine to machine."""
    return getattr(error, "strerror", None) or str(error)
