"""Mistakes in params.yaml; each must be told with its line."""

import io
import re
from collections.abc import Iterator

from cvg.config import Params
from cvg.hostile.cases import BadParams, Case, stopped
from cvg.params import round_trip_yaml

BOMB_LEVELS = 12


def bad_params() -> Iterator[BadParams]:
    """Yield files of parameters with one mistake each."""
    changes = {
        "unknown key": ("^  frame_size:", "  frame_sizes:", "did you mean frame_size?"),
        "wrong type": (r"^  frame_size: \S+", "  frame_size: [64, 64]", "extract.frame_size: "),
        "number in quotes": (r"^seed: \S+", 'seed: "0"', "seed: "),
        "negative number": (r"^  min_frames: \S+", "  min_frames: -16", "extract.min_frames: "),
        "not a number": (r"^  held_out: \S+", "  held_out: .nan", "extract.held_out: "),
        "tab": ("^  min_frames:", "\tmin_frames:", "not valid YAML"),
        "key twice": (
            r"^  min_frames: \S+",
            "  min_frames: 9\n  min_frames: 8",
            "not valid YAML",
        ),
        "tag of a Python object": (
            r"^seed: \S+",
            "seed: !!python/object/apply:os.mkdir [unpickled]",
            "seed: ",
        ),
        "key without a value": (r"^  min_frames: \S+", "  min_frames:", "extract.min_frames: "),
        "bracket that is not closed": ("^extract:", "extract: {", "not valid YAML"),
    }
    for title, (old, new, says) in changes.items():
        yield BadParams(case=_case(title, says), old=old, new=new)
    yield BadParams(
        case=_case("references that multiply", "write the values out"),
        old=r"^seed: \S+",
        new=f"{_bomb()}\nseed: 0",
    )


def as_text(params: Params) -> str:
    """Write parameters a line a key, whatever the layout of the file that they come from."""
    text = io.StringIO()
    round_trip_yaml().dump(params.model_dump(mode="json"), text)
    return text.getvalue()


def spoil(text: str, mistake: BadParams) -> str:
    """Make the mistake in a text of `as_text`."""
    return re.sub(mistake.old, lambda _: mistake.new, text, count=1, flags=re.MULTILINE)


def _case(title: str, says: str) -> Case:
    return Case(title=f"parameters: {title}", file="params.yaml", expected=stopped(says))


def _bomb() -> str:
    """Give a list of lists of lists, each of ten references to the one before."""
    lines = ["bomb0: &b0 [x, x]"]
    for level in range(1, BOMB_LEVELS):
        references = ", ".join([f"*b{level - 1}"] * 10)
        lines.append(f"bomb{level}: &b{level} [{references}]")
    return "\n".join(lines)
