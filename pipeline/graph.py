"""The stages of dvc.yaml, read without DVC."""

import graphlib
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cvg.errors import UserError

DVC_YAML = Path("dvc.yaml")
CODE = ("cvg/", "pipeline/")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage, with the values of params.yaml filled in.

    Attributes:
        name: as DVC has it, for example `train_transformer@top`.
        words: the command and its options, without what starts Python.
        deps: paths that it reads, code among them.
        params: dotted parts of params.yaml that it obeys.
        outs: paths that it writes.
    """

    name: str
    words: tuple[str, ...]
    deps: tuple[str, ...]
    params: tuple[str, ...]
    outs: tuple[str, ...]

    @property
    def level(self) -> str:
        """The level, of a stage that runs once a level; empty for the others."""
        return self.name.partition("@")[2]

    @property
    def data(self) -> tuple[str, ...]:
        """The dependencies that are no code."""
        return tuple(dep for dep in self.deps if not dep.startswith(CODE))


def read_stages(dvc_yaml: Path, params: Mapping[str, Any]) -> list[Stage]:
    """Read the stages, each after those whose outputs it reads.

    Args:
        dvc_yaml: the file.
        params: the tree of params.yaml.

    Raises:
        UserError: there is no such file.
    """
    from cvg.params import read_tree

    if not dvc_yaml.is_file():
        raise UserError(
            f"{dvc_yaml}: no such file; this command needs the project's folder, from a clone or a "
            "copy of it"
        )
    tree = read_tree(dvc_yaml)["stages"]
    stages = [stage for name in tree for stage in _expand(str(name), tree[name], params)]
    order = graphlib.TopologicalSorter(
        {stage.name: makers(stage, stages) for stage in stages}
    ).static_order()
    by_name = {stage.name: stage for stage in stages}
    return [by_name[name] for name in order]


def makers(stage: Stage, stages: Iterable[Stage]) -> list[str]:
    """Name the stages that write what a stage reads, or a file or folder within or around it."""
    return [
        other.name
        for other in stages
        if any(
            f"{dep}/".startswith(f"{out}/") or f"{out}/".startswith(f"{dep}/")
            for dep in stage.deps
            for out in other.outs
        )
    ]


def _expand(name: str, tree: Mapping[str, Any], params: Mapping[str, Any]) -> Iterator[Stage]:
    if "foreach" not in tree:
        yield _stage(name, tree, params)
        return
    items = tree["foreach"]
    for item in look_up(items[2:-1], params) if isinstance(items, str) else items:
        yield _stage(f"{name}@{item}", tree["do"], {**params, "item": item})


def _stage(name: str, tree: Mapping[str, Any], params: Mapping[str, Any]) -> Stage:
    def filled(key: str) -> tuple[str, ...]:
        entries = tree.get(key, ())
        texts = [str(next(iter(e)) if isinstance(e, Mapping) else e) for e in entries]
        return tuple(_fill(text, params) for text in texts)

    words = [_fill(word, params) for word in shlex.split(str(tree["cmd"]))]
    return Stage(
        name=name,
        words=tuple(words[words.index("pipeline/run") + 1 :]),
        deps=filled("deps"),
        params=filled("params"),
        outs=filled("outs") + filled("metrics") + filled("plots"),
    )


def _fill(text: str, params: Mapping[str, Any]) -> str:
    return re.sub(r"\$\{([\w.]+)\}", lambda found: str(look_up(found[1], params)), text)


def look_up(dotted: str, params: Mapping[str, Any]) -> Any:
    """Give a value, or a whole section, by its dotted name."""
    node: Any = params
    for key in dotted.split("."):
        node = node[key]
    return node
