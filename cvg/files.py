"""Files that are whole or not there: written under a temporary name, flushed, renamed."""

import csv
import fcntl
import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cvg.errors import UserError
from cvg.interrupts import deferred

if TYPE_CHECKING:
    import numpy as np

SOURCES = (".py", ".cpp")


@contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it takes the name of `path`.

    What processes that were killed left for the same path is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays, because some writers choose the format by it.
    _remove_left(path.parent, f".{path.stem}.partial-", path.suffix)
    temporary = path.with_name(f".{path.stem}.partial-{os.getpid()}{path.suffix}")
    temporary.touch()
    with _owned(temporary):
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path, *, marker: str) -> Iterator[Path]:
    """Give an empty temporary folder beside `path`; on success it takes the place of `path`.

    What processes that were killed left for the same path is removed.

    Args:
        path: the folder to write or to replace.
        marker: a file that every folder of this kind holds. What else is at `path` is not ours to
            remove.

    Raises:
        UserError: `path` is a file, or a folder with other content.
    """
    refuse_foreign_folder(path, marker=marker)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_left(path.parent, f".{path.name}.partial-", "")
    temporary = path.with_name(f".{path.name}.partial-{os.getpid()}")
    old = temporary.with_name(f"{temporary.name}-old")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    with _owned(temporary):
        try:
            yield temporary
            with deferred():  # Between the two, there would be neither the old nor the new.
                if path.exists():
                    # Not removed where it is: a kill in between would leave a part of it there.
                    path.replace(old)
                temporary.replace(path)
        finally:
            if old.exists() and not path.exists():  # The new one could not take the place.
                old.replace(path)
            for left in (temporary, old):
                shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _owned(path: Path) -> Iterator[None]:
    """Hold a lock on a temporary file or folder, which the system frees however we end."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # Some network file systems know no locks.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _remove_left(folder: Path, start: str, suffix: str) -> None:
    """Remove temporary files and folders whose owner is gone."""
    with os.scandir(folder) as entries:
        found = [e.path for e in entries if e.name.startswith(start) and e.name.endswith(suffix)]
    for path in map(Path, found):
        if _is_left(path):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _is_left(path: Path) -> bool:
    """Say whether nobody holds the lock of a temporary file or folder."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def refuse_foreign_folder(path: Path, *, marker: str) -> None:
    """Say early what `replacing_folder` would say after all the work is done.

    Raises:
        UserError: `path` is a file, or a folder with other content.
    """
    if not path.name:
        raise UserError(f"{path}: expected a folder of its own for the output; name one")
    if path.exists() and not path.is_dir():
        raise UserError(f"{path}: found a file, expected a folder for the output; name another")
    if path.is_dir() and any(path.iterdir()) and not (path / marker).is_file():
        raise UserError(
            f"{path}: holds files, but no {marker}, so it was not written by this command and is "
            "not replaced; name another folder, or empty this one"
        )


def save_arrays(path: Path, arrays: "Mapping[str, np.ndarray]") -> None:
    """Write arrays by name as safetensors, whatever order their axes have in memory.

    The library's own function writes memory as it lies: a transposed array comes back scrambled.
    """
    import numpy as np
    from safetensors.numpy import save_file  # noqa: TID251

    with replacing_file(path) as temporary:
        save_file({name: np.asarray(array, order="C") for name, array in arrays.items()}, temporary)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON; NaN and infinity are refused, they are not JSON."""
    text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False)
    with replacing_file(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def write_rows(
    path: Path, rows: Sequence[Mapping[str, Any]], *, names: Sequence[str] | None = None
) -> None:
    """Write rows as CSV; what a row does not have, and NaN, is left empty.

    Args:
        path: of the file.
        rows: values by column; a float gets six digits.
        names: the columns; None: all that any row has, in the order in which they first appear.
    """
    columns = names or list(dict.fromkeys(name for row in rows for name in row))
    with (
        replacing_file(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: _cell(value) for name, value in row.items()})


def _cell(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return "" if math.isnan(value) else f"{value:.6g}"


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not JSON ({error}); run its stage again") from error
    except FileNotFoundError as error:
        raise UserError(
            f"{path}: no such file; run the stage that writes it (see dvc.yaml), or `dvc checkout` "
            "where it ran before"
        ) from error
    except json.JSONDecodeError as error:
        message = f"{path}:{error.lineno}: not JSON ({error.msg}); run its stage again"
        raise UserError(message) from error


def sha256_file(path: Path) -> str:
    """Give the SHA-256 of a file as a hexadecimal string."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_code(package: Path) -> str:
    """Give the SHA-256 over names and content of all source files of a package."""
    digest = hashlib.sha256()
    for path in sorted(path for path in package.rglob("*") if path.suffix in SOURCES):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(package).as_posix()} {len(content)} ".encode())
        digest.update(content)
    return digest.hexdigest()


def project_root() -> Path:
    """Give the main checkout, also from within a temporary folder of `dvc exp run --temp`."""
    if "DVC_ROOT" in os.environ:
        return Path(os.environ["DVC_ROOT"]).resolve()
    here = Path.cwd().resolve()
    for folder in (here, *here.parents):
        if (folder / "dvc.yaml").is_file() and ".dvc" not in folder.parts:
            return folder
    return here


def cache_folder() -> Path:
    """Give what this program keeps in the user's cache folder."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "cvg"


def state_root() -> Path:
    """Give the folder that holds `.runs`: `CVG_STATE_DIR`, else the main checkout."""
    given = os.environ.get("CVG_STATE_DIR")
    return Path(given).expanduser().resolve() if given else project_root()
