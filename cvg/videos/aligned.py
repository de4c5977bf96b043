"""What a manifest gives for each source frame beside its picture: a row of actions."""

import csv
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np
from jaxtyping import Float32, Shaped
from numpy.lib.format import open_memmap

from cvg.videos.location import UnusableError, shown, system_reason
from cvg.videos.skips import SkipCode

ACTION_SUFFIXES = (".npy", ".csv")
MAX_COLUMNS = 4096
MAX_LINE = 1_000_000  # characters
OVERFLOW = (2 - 2**-24) * 2.0**127  # what is smaller is finite when rounded to float32


def read_actions(path: Path) -> Float32[np.ndarray, "n a"]:
    """Read actions: one row for each source frame, one column for each number of an action.

    Args:
        path: an .npy array of numbers or truth values, `[n]` or `[n, a]`, or a .csv of numbers,
            with or without a header.

    Returns:
        At least one row, 1 to 4096 columns, all finite.

    Raises:
        UnusableError: BAD_ACTIONS, with the place of the first bad number.
    """
    if path.suffix.lower() == ".csv":
        return _read_csv(path)
    values = _open_array(path)
    with np.errstate(over="ignore"):
        actions = np.array(values, dtype=np.float32)
    for row, column in np.argwhere(~np.isfinite(actions))[:1]:
        raise _bad(
            f"row {row}, column {column} (counted from 0) holds {values[row, column]}; expected a "
            "finite number that float32 can hold"
        )
    return actions


def actions_shape(path: Path) -> tuple[int, int]:
    """Give rows and columns of actions; of an .npy file only the header is read.

    Raises:
        UnusableError: BAD_ACTIONS, as far as it was read.
    """
    rows, columns = (_read_csv if path.suffix.lower() == ".csv" else _open_array)(path).shape
    return rows, columns


def _open_array(path: Path) -> Shaped[np.ndarray, "n a"]:
    """Map an array, so that a header that promises too much costs no memory."""
    values = _mapped(path)
    if values.dtype.kind not in "biuf":
        raise _bad(f"found values of type {values.dtype}; expected numbers")
    if values.ndim not in (1, 2):
        raise _bad(f"found an array of shape {list(values.shape)}; expected [n] or [n, a]")
    values = values.reshape(len(values), -1) if values.size else values.reshape(0, 0)
    _check_shape(*values.shape)
    return values


def _mapped(path: Path) -> np.memmap:
    try:
        return open_memmap(path, mode="r")
    except OSError as error:
        raise _no_array(error) from error
    # NumPy reads the header as Python, and a damaged one raises all that tokens and literals can.
    except Exception as error:
        unusable = _no_array(error)
    # Not from the error: what nests too deeply is a MemoryError to the parser, but memory is there.
    raise unusable


def _no_array(error: Exception) -> UnusableError:
    reason = shown(system_reason(error))[:200]
    return _bad(f"no array of numbers can be read ({reason})")


def _read_csv(path: Path) -> Float32[np.ndarray, "n a"]:
    values, rows, width, blank = array("d"), 0, None, None
    for line, cells in _lines_of(path):
        if not any(cell.strip() for cell in cells):
            blank = blank or line
            continue
        if blank is not None:
            raise _bad(f"line {blank} is empty; expected one row of numbers a frame")
        if width is not None and len(cells) != width:
            raise _bad(f"line {line} has {len(cells)} columns; expected {width}, as in line 1")
        if width is None and all(_number(cell) is None for cell in cells):
            width = len(cells)
            continue
        width = len(cells)
        values.extend(_numbers(cells, line))
        rows += 1
    _check_shape(rows, width or 0)
    return np.frombuffer(values, dtype=np.float64).reshape(rows, -1).astype(np.float32)


def _lines_of(path: Path) -> Iterator[tuple[int, Sequence[str]]]:
    try:
        # What is not UTF-8 is no number either, and is reported as such.
        with path.open(encoding="utf-8-sig", errors="backslashreplace", newline="") as file:
            reader = csv.reader(_short_lines(file), strict=True)
            for cells in reader:
                yield reader.line_num, cells
    except (OSError, csv.Error) as error:
        raise _bad(f"no rows can be read ({system_reason(error)})") from error


def _short_lines(file: TextIO) -> Iterator[str]:
    while line := file.readline(MAX_LINE):
        if len(line) == MAX_LINE:
            raise _bad(f"a line has more than {MAX_LINE} characters; expected one row of numbers")
        yield line


def _numbers(cells: Sequence[str], line: int) -> Iterator[float]:
    for column, cell in enumerate(cells, start=1):
        number = _number(cell)
        if number is None or not abs(number) < OVERFLOW:
            raise _bad(
                f"line {line}, column {column} holds {shown(cell)[:40]!r}; expected a finite "
                "number that float32 can hold"
            )
        yield number


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _check_shape(rows: int, columns: int) -> None:
    if rows < 1 or columns < 1:
        raise _bad("found no numbers; expected a row for each frame")
    if columns > MAX_COLUMNS:
        raise _bad(f"found {columns} columns; expected at most {MAX_COLUMNS}")


def _bad(reason: str) -> UnusableError:
    return UnusableError(SkipCode.BAD_ACTIONS, reason)
