"""Reading params.yaml: every mistake at once, each with its line and the nearest valid key."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from cvg.config import Params, Section
from cvg.errors import UserError

MAX_VALUES = 100_000
MAX_BYTES = 1_000_000
SCALARS = ("seed", "lr")  # what params.yaml holds beside sections

Location = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """One mistake in the parameters."""

    location: Location
    line: int | None
    message: str

    def sentence(self, path: Path) -> str:
        """Give the mistake as one line for people."""
        place = f"{path}:{self.line}" if self.line else str(path)
        return f"{place}: {'.'.join(self.location)}: {self.message}"


def load_params(path: Path, overrides: Sequence[str] = ()) -> Params:
    """Read and check params.yaml.

    Args:
        path: the file.
        overrides: `section.key=value` texts which replace values of the file; value is YAML.

    Raises:
        UserError: with one line for each mistake.
    """
    tree = read_tree(path)
    overridden = {_override(tree, text) for text in overrides}
    mistakes = list(_mistakes(tree))
    if mistakes:
        lines = [
            Mistake(
                location=mistake.location,
                line=None if mistake.location in overridden else mistake.line,
                message=mistake.message,
            ).sentence(path)
            for mistake in mistakes
        ]
        raise UserError("\n".join(lines))
    return Params.model_validate(_plain(tree))


def read_tree(path: Path) -> CommentedMap:
    """Read a YAML 1.2 file whose root is a mapping, keeping comments and line numbers."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; run from the root of the project, or give --params")
    if path.stat().st_size > MAX_BYTES:
        raise UserError(f"{path}: larger than {MAX_BYTES} bytes; this is no parameter file")
    try:
        tree = round_trip_yaml().load(path)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise UserError(f"{path}:{line}: not valid YAML: {error.problem}") from error
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(tree, CommentedMap):
        raise UserError(f"{path}: expected `key: value` lines, found {type(tree).__name__}")
    _check_references(tree, path)
    return tree


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Give each value of a tree under its dotted name.

    >>> dict(leaves({"seed": 0, "vqgan": {"width": 64}}))
    {'seed': 0, 'vqgan.width': 64}
    """
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _check_references(tree: CommentedMap, path: Path) -> None:
    """Refuse a few lines of references to references that stand for millions of values."""
    counts: dict[int, int] = {}

    def count(node: Any) -> int:
        if not isinstance(node, dict | list):
            return 1
        if id(node) not in counts:
            counts[id(node)] = MAX_VALUES + 1  # of one that refers to itself
            values = node.values() if isinstance(node, dict) else node
            counts[id(node)] = sum(map(count, values))
        return counts[id(node)]

    for key, node in tree.items():
        if count(node) > MAX_VALUES:
            raise UserError(
                f"{path}:{tree.lc.key(key)[0] + 1}: {key}: its references (&, *) stand for more "
                f"than {MAX_VALUES} values; write the values out"
            )


def round_trip_yaml() -> YAML:
    """Give a YAML 1.2 reader and writer that keeps comments and layout."""
    yaml = YAML(typ="rt")
    yaml.width = 200
    yaml.preserve_quotes = True
    return yaml


def _override(tree: CommentedMap, text: str) -> Location:
    dotted, equals, value = text.partition("=")
    location = tuple(dotted.split("."))
    if not equals or not dotted:
        raise UserError(f"--set {text}: expected section.key=value, for example sample.top_k=50")
    node = tree
    for key in location[:-1]:
        node = node.setdefault(key, CommentedMap())
        if not isinstance(node, CommentedMap):
            raise UserError(f"--set {text}: {key} is a value, not a section")
    try:
        node[location[-1]] = YAML(typ="safe", pure=True).load(value)
    except YAMLError as error:
        raise UserError(f"--set {text}: the value is not valid YAML") from error
    return location


def _mistakes(tree: CommentedMap) -> Iterator[Mistake]:
    try:
        params = Params.model_validate(_plain(tree))
    except ValidationError as error:
        found = [(_key_location(tree, d["loc"]), d) for d in error.errors()]
        misspelt = {
            (*location[:-1], nearest)
            for location, details in found
            if details["type"] == "extra_forbidden" and (nearest := _nearest_key(location))
        }
        for location, details in found:
            # The key that a misspelt one stands for is not missing as well.
            if details["type"] == "missing" and location in misspelt:
                continue
            yield Mistake(
                location=location, line=_line(tree, location), message=_message(details, location)
            )
        yield from _conflicts_of_valid_sections(tree, {d["loc"][0] for d in error.errors()})
    else:
        yield from _conflicts(tree, params, ())


def _conflicts_of_valid_sections(tree: CommentedMap, broken: set[int | str]) -> Iterator[Mistake]:
    valid = {}
    for name, field in Params.model_fields.items():
        section = field.annotation
        if name in broken or not isinstance(section, type) or not issubclass(section, Section):
            continue
        valid[name] = section.model_validate(_plain(tree[name]))
        yield from _conflicts(tree, valid[name], (name,))
    if valid.keys() == {n for n in Params.model_fields if n not in SCALARS}:
        yield from _own_conflicts(tree, Params.model_construct(**valid), ())


def _conflicts(tree: CommentedMap, section: Section, prefix: Location) -> Iterator[Mistake]:
    yield from _own_conflicts(tree, section, prefix)
    for name in type(section).model_fields:
        child = getattr(section, name)
        if isinstance(child, Section):
            yield from _conflicts(tree, child, (*prefix, name))


def _own_conflicts(tree: CommentedMap, section: Section, prefix: Location) -> Iterator[Mistake]:
    for key, sentence in section.conflicts():
        location = (*prefix, *key.split("."))
        value = _value(tree, location)
        yield Mistake(
            location=location, line=_line(tree, location), message=f"{sentence}; found {value!r}"
        )


def _message(details: ErrorDetails, location: Location) -> str:
    match details["type"]:
        case "extra_forbidden":
            nearest = _nearest_key(location)
            hint = f"did you mean {nearest}?" if nearest else _list_keys(location[:-1])
            return f"unknown key; {hint}"
        case "missing":
            return "this key is missing; copy it with its comment from the committed params.yaml"
        case _:
            return f"{_lower(details['msg'])}; found {details['input']!r}"


def _nearest_key(location: Location) -> str | None:
    """Give the valid key that is spelt most like the last part of `location`."""
    nearest = difflib.get_close_matches(location[-1], _valid_keys(location[:-1]), n=1)
    return nearest[0] if nearest else None


def _lower(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]


def _list_keys(location: Location) -> str:
    return "valid keys: " + ", ".join(sorted(_valid_keys(location)))


def _valid_keys(location: Location) -> list[str]:
    model: type[Section] = Params
    for key in location:
        annotation = model.model_fields[key].annotation
        if not isinstance(annotation, type) or not issubclass(annotation, Section):
            return []
        model = annotation
    return list(model.model_fields)


def _key_location(tree: CommentedMap, loc: Sequence[int | str]) -> Location:
    """Drop what pydantic adds behind a key, such as the branch of a union."""
    keys: list[str] = []
    node: Any = tree
    for part in loc:
        if not isinstance(node, CommentedMap):
            break
        keys.append(str(part))
        node = node.get(part)
    return tuple(keys)


def _line(tree: CommentedMap, location: Location) -> int | None:
    """Give the line of a key, or of the nearest section above it."""
    node: Any = tree
    line = None
    for key in location:
        if not isinstance(node, CommentedMap) or key not in node:
            break
        if key in node.lc.data:
            line = node.lc.key(key)[0] + 1
        node = node[key]
    return line


def _value(tree: CommentedMap, location: Location) -> Any:
    node: Any = tree
    for key in location:
        node = node[key]
    return _plain(node)


def _plain(node: Any) -> Any:
    """Turn the reader's own number and text types into Python's."""
    if isinstance(node, dict):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node
