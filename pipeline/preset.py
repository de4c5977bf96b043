"""Put a named set of values into params.yaml."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from cvg.errors import UserError
from pipeline.stage import PARAMS_PATH, ParamsOption

PRESETS = Path("presets")


def preset(
    name: Annotated[str, typer.Argument(help="Name of a file in presets/, without .yaml.")],
    overrides: Annotated[
        bool,
        typer.Option(
            "--overrides",
            help="Write nothing; print the values as options of `dvc exp run`, as in "
            "dvc exp run --temp $(cvg preset quick --overrides)",
        ),
    ] = False,
    params_path: ParamsOption = PARAMS_PATH,
) -> None:
    """Put a preset into params.yaml, keeping its other values and its comments."""
    from cvg.params import load_params

    values = dict(read_preset(name, params_path))
    texts = as_overrides(values)
    load_params(params_path, texts)
    if overrides:
        typer.echo(" ".join(f"-S {text}" for text in texts))
        return
    changes = put_values(params_path, values)
    for change in changes:
        typer.echo(f"  {change}")
    typer.echo(f"{params_path}: {len(changes)} values changed to preset {name}")


def read_preset(name: str, params_path: Path) -> Iterator[tuple[str, Any]]:
    """Yield `section.key` and value of a preset that lies in `presets/` beside the parameters.

    Raises:
        UserError: there is no such preset.
    """
    from cvg.params import leaves, read_tree

    folder = params_path.parent / PRESETS
    path = folder / f"{name}.yaml"
    if not path.is_file():
        names = ", ".join(sorted(file.stem for file in folder.glob("*.yaml"))) or "none"
        raise UserError(f"{path}: no such preset; there are: {names}")
    yield from leaves(read_tree(path))


def as_overrides(values: Mapping[str, Any]) -> list[str]:
    """Give values as texts `section.key=value`."""
    return [f"{key}={_text(value)}" for key, value in values.items()]


def put_values(path: Path, values: Mapping[str, Any]) -> list[str]:
    """Write values into a file of parameters; give one line for each that was another."""
    from cvg.files import replacing_file
    from cvg.params import read_tree, round_trip_yaml

    tree = read_tree(path)
    changes = []
    for dotted, value in values.items():
        *sections, key = dotted.split(".")
        node: Any = tree
        for section in sections:
            node = node[section]
        if node[key] != value:
            changes.append(f"{dotted}: {_text(node[key])} -> {_text(value)}")
            node[key] = value
    if changes:
        yaml = round_trip_yaml()
        # By itself the writer leaves the place of a null empty.
        yaml.representer.add_representer(
            type(None),
            lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null"),
        )
        with replacing_file(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            yaml.dump(tree, file)
    return changes


def _text(value: Any) -> str:
    """Give a value as YAML; without spaces, a list is one word of a command."""
    if value is None:
        return "null"
    if isinstance(value, list):
        return f"[{','.join(map(_text, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
