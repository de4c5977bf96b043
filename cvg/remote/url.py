"""URLs of fsspec: files and folders of object stores, servers and archives."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cvg.errors import UserError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

START = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(://|::)")
MAX_TEXT = 300  # characters shown of another program's message


@dataclass(frozen=True)
class Url:
    """A file or folder behind a URL as fsspec takes it, chained ones (`zip://::s3://...`) too."""

    text: str

    def __str__(self) -> str:
        return self.text

    @property
    def name(self) -> str:
        """The last part of its path."""
        _, _, path = self.text.partition("::")[0].partition("://")
        return PurePosixPath(path.partition("?")[0]).name

    def __truediv__(self, name: str) -> "Url":
        """Name a file in this folder."""
        first, chain, rest = self.text.partition("::")
        slash = "" if first.endswith("/") else "/"
        return Url(f"{first}{slash}{name}{chain}{rest}")

    def resolve(self) -> "Url":
        """Give itself: it is the same from everywhere."""
        return self


Place = Path | Url


def is_url(text: str) -> bool:
    """Tell a URL from a path.

    >>> [is_url(text) for text in ("s3://bucket/a", "zip::s3://b", "a/b", "/a://b", "package:a/b")]
    [True, True, False, False, False]
    """
    return START.match(text) is not None


def read_url(text: str) -> Url:
    """Read a URL.

    Raises:
        UserError: it holds a password, which would get into logs and records of runs.
    """
    for part in text.split("::"):
        try:
            password = urlsplit(part).password
        except ValueError:
            continue
        if password:
            clean = text.replace(f":{password}@", ":...@")
            raise UserError(
                f"{clean}: found a password in the URL; expected none, for it would be written "
                "into logs: put it into the environment or the configuration of fsspec "
                "(docs/storage.md)"
            )
    return Url(text)


def read_place(text: str) -> Place:
    """Read a path or a URL.

    Raises:
        UserError: it is a URL that holds a password.
    """
    return read_url(text) if is_url(text) else Path(text)


def open_file_system(url: str) -> "tuple[AbstractFileSystem, str]":
    """Give the file system of a URL, and the path in it.

    Credentials and options are those of fsspec's configuration and of the environment.

    Raises:
        UserError: the protocol is not known, or its package is not installed.
    """
    with explaining(url):
        from fsspec.core import url_to_fs

        return url_to_fs(url)


@contextmanager
def explaining(url: object, *, but: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Turn what any file system raises into an error for people.

    Args:
        url: what is read.
        but: exceptions that the caller handles.

    Raises:
        UserError: something else was raised that is no UserError.
    """
    try:
        yield
    except (UserError, MemoryError, *but):
        raise
    except FileNotFoundError as error:
        raise UserError(
            f"{url}: no such file, folder or bucket ({reason_of(error)}); mend the URL"
        ) from error
    except ImportError as error:
        raise UserError(
            f"{url}: the package for this protocol is missing: {error}; install it with pip, on "
            "all machines that read from there"
        ) from error
    # Each protocol brings a library with exceptions of its own.
    except Exception as error:
        raise UserError(
            f"{url}: cannot be read ({reason_of(error)}); mend the URL, what is missing of "
            "credentials or options (docs/storage.md), the network or the server, then run the "
            "same command again"
        ) from error


def reason_of(error: BaseException) -> str:
    """Name an error and what it was raised from, which often says more."""
    told = [error] if error.__cause__ is None else [error, error.__cause__]
    return "; ".join(f"{type(one).__name__}: {_line(one)}" for one in told)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:MAX_TEXT]
