"""Lists that come with data: lines, tables and JSON of sane size, and words of class names."""

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cvg.errors import UserError

# The longest official list, the training labels of Something-Something V2, has some 40 MB.
MAX_BYTES = 256_000_000


def read_lines(path: Path) -> list[str]:
    """Read the lines that are not blank, without the space around them.

    Raises:
        UserError: the file is missing, too large or not UTF-8.
    """
    return [line.strip() for line in _read_text(path).split("\n") if line.strip()]


def read_table(path: Path, *, needed: Sequence[str]) -> list[dict[str, str]] | None:
    """Read a CSV table with a header; None where the header lacks a needed column.

    Cells that a row lacks are empty.

    Raises:
        UserError: the file is missing, too large, not UTF-8 or not CSV.
    """
    reader = csv.DictReader(_read_text(path).splitlines(), restval="", strict=True)
    try:
        if not set(needed) <= set(reader.fieldnames or ()):
            return None
        return [{key: cell for key, cell in row.items() if key} for row in reader]
    except csv.Error as error:
        raise UserError(f"{path}:{reader.line_num}: not valid CSV: {error}") from error


def read_json_as(path: Path, kind: type[list] | type[dict]) -> Any:
    """Read a JSON file whose outermost value is a list or an object.

    Raises:
        UserError: the file is missing, too large, not JSON, or holds another kind of value.
    """
    try:
        value = json.loads(_read_text(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON ({error}); unpack the official file again") from error
    if not isinstance(value, kind):
        expected = "a list" if kind is list else "an object"
        raise UserError(f"{path}: found {type(value).__name__}, expected {expected}")
    return value


def words_of(class_name: str) -> str:
    """Give the name of a class as words of a caption.

    >>> words_of("ApplyEyeMakeup"), words_of("air_drumming"), words_of("YoYo")
    ('apply eye makeup', 'air drumming', 'yo yo')
    """
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", class_name.replace("_", " "))
    return " ".join(spaced.lower().split())


def _read_text(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise UserError(f"{path}: found {size} bytes, expected a list of {MAX_BYTES} at most")
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; unpack the official lists there") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: found a byte that is not UTF-8 ({error})") from error
