"""What all stages share: parameters, paths, the tracked run, the closing line."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cvg import launch
from cvg.errors import UserError
from cvg.interrupts import end_with_parent, interruptible
from cvg.locks import one_writer
from pipeline.shortage import is_out_of_memory, what_takes_memory

if TYPE_CHECKING:
    from cvg.codes.store import CodeStore
    from cvg.config import Params
    from cvg.remote.url import Place
    from cvg.sampling.models import Models
    from cvg.tracking import Tracker
    from cvg.training.loop import Surroundings
    from cvg.training.runtime import Runtime
    from cvg.training.workspace import Workspace

ParamsOption = Annotated[
    Path, typer.Option("--params", help="File of parameters.", rich_help_panel="Parameters")
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        envvar="CVG_WORKERS",
        help="Processes that read videos; the result is the same for any number.",
        show_default="one for each core",
    ),
]
FreshOption = Annotated[
    bool,
    typer.Option("--fresh", help="Begin anew, whatever an interrupted run with these values left."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Replace one value, as in --set sample.top_k=50; needs --out. Repeatable.",
        rich_help_panel="Parameters",
    ),
]
PARAMS_PATH = Path("params.yaml")
OUTPUTS = ("out", "plot", "scores")  # options that name what a stage writes


def path_option(help_text: str) -> Any:
    """Give a path option whose default is what dvc.yaml says."""
    return typer.Option(help=help_text, show_default="as in dvc.yaml", rich_help_panel="Paths")


def store_option(help_text: str) -> Any:
    """Give an option for frames or codes to read: a path, or a URL of fsspec."""
    return path_option(f"{help_text} A path, or a URL of fsspec.")


@dataclass
class StageRun:
    """One execution of a stage."""

    name: str
    params: "Params"
    settings: Mapping[str, Any]  # the parameters that the stage obeys: `section.key` to value
    tracker: "Tracker"

    @cached_property
    def runtime(self) -> "Runtime":
        """Device, precision, compilation and ranks, as the environment says."""
        from cvg.training.runtime import chosen_runtime

        return chosen_runtime()

    @property
    def writes(self) -> bool:
        """Whether this process writes what the stage gives: of several ranks, the first."""
        return launch.is_first()

    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Log figures of one step of the work."""
        self.tracker.log_metrics(figures, step=step)

    def surroundings(self, lr_scale: float, workspace: "Workspace") -> "Surroundings":
        """Give what a training run needs besides parameters and data.

        Args:
            lr_scale: factor of the base learning rate.
            workspace: where checkpoints go.
        """
        from cvg.training.checkpoint import Checkpoints
        from cvg.training.loop import Surroundings

        return Surroundings(
            learning_rate=self.params.lr * lr_scale,
            seed=self.params.seed,
            runtime=self.runtime,
            log=self.log,
            checkpoints=Checkpoints(workspace.folder / "checkpoints"),
        )

    @contextmanager
    def workspace(
        self,
        *,
        data: str,
        machine: Mapping[str, Any] | None = None,
        fresh: bool = False,
        **others: str | int | None,
    ) -> Iterator["Workspace"]:
        """Give the folder of what an interrupted run with the same inputs left, and leaves.

        It is removed at the end, so the outputs are written within it; an exception keeps it.

        Args:
            data: digest of what the stage reads.
            machine: what of it shapes the result; None: all that changes rounding.
            fresh: remove what is there.
            others: what else changes the result, besides parameters, data, code and machine.
        """
        from cvg.training.workspace import Workspace

        key = self._key(data, machine, others)
        opened = Workspace.open(self.name, key=key, fresh=fresh) if self.writes else nullcontext()
        with opened as own:
            folder = self.runtime.ranks.of_first(str(own.folder) if own else "")
            yield Workspace(folder=Path(folder), key=key)

    def shared_workspace(
        self, *, data: str, machine: Mapping[str, Any], **others: str | int | None
    ) -> "Workspace":
        """Name the same folder for one of several processes that fill it together; it stays."""
        from cvg.training.workspace import Workspace

        return Workspace.named(self.name, key=self._key(data, machine, others))

    def _key(
        self,
        data: str,
        machine: Mapping[str, Any] | None,
        others: Mapping[str, str | int | None],
    ) -> dict[str, Any]:
        """Give all but the code that shapes the result."""
        return {
            "params": dict(self.settings),
            "data": data,
            "runtime": dict(self.runtime.traits() if machine is None else machine),
            "others": dict(others),
        }

    def conclude(self, out: Path, figures: Mapping[str, float]) -> None:
        """Log the final figures, and say what was written."""
        self.tracker.log_final(figures)
        main = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
        seconds = time.monotonic() - self._start
        typer.echo(f"{self.name}: wrote {out} in {seconds:.0f} s" + (f" | {main}" if main else ""))

    def __post_init__(self) -> None:
        self._start = time.monotonic()


def link_models(
    run: StageRun, models: "Models", paths: Mapping[str, Path], *, codes: "CodeStore"
) -> None:
    """Record which models and codes a stage uses, by their content."""
    from cvg.training.weights import hash_weights

    run.tracker.log_dataset("codes", digest=codes.digest, path=codes.folder)
    run.tracker.log_model("vqgan", digest=models.vqgan_hash, path=paths["vqgan"])
    for level, transformer in models.transformers.items():
        run.tracker.log_model(
            f"transformer-{level}",
            digest=hash_weights(transformer.model),
            path=paths["transformer"] / level,
        )


@contextmanager
def stage_run(
    name: str,
    *,
    sections: Sequence[str],
    params_path: Path,
    overrides: Sequence[str] | None,
    out: Path,
    on_ranks: bool = False,
) -> Iterator[StageRun]:
    """Check the parameters, open the tracked run, and close it whatever happens.

    One process at a time writes `out`. A signal that asks for the end raises `Interrupted`; a stage
    that DVC, `cvg run` or `torchrun` started ends with it, so that no orphan writes under the next
    run.

    Args:
        name: of the stage, as in dvc.yaml.
        sections: dotted parts of params.yaml that the stage obeys; these are logged.
        params_path: the file of parameters.
        overrides: `section.key=value` texts.
        out: what it writes, or the first of it.
        on_ranks: whether several processes that `torchrun` starts do the stage together.

    Raises:
        UserError: parameters are wrong, another process writes `out`, memory ran out, or another
            rank is gone.
    """
    if launch.world_size() > 1 and not on_ranks:
        raise UserError(
            f"{name}: does not run on several processes together; start it without torchrun"
        )
    from cvg.tracking import open_tracker

    params, flat, settings = _read(params_path, overrides, sections)
    with (
        _ending_in_order(),
        one_writer(out, stage=name) if launch.is_first() else nullcontext(),
        open_tracker(name, params=settings, all_params=flat) as tracker,
        _joined(),
        _memory_told(name, settings),
    ):
        yield StageRun(name=name, params=params, settings=settings, tracker=tracker)


@contextmanager
def share_run(
    name: str, *, sections: Sequence[str], params_path: Path, overrides: Sequence[str] | None
) -> Iterator[StageRun]:
    """Do what `stage_run` does, for one of several processes that do a stage together.

    It writes no output, so it keeps nobody from writing it, and it is no run of the record.
    """
    from cvg.tracking import Tracker

    params, _, settings = _read(params_path, overrides, sections)
    with _ending_in_order(), _memory_told(name, settings):
        yield StageRun(name=name, params=params, settings=settings, tracker=Tracker(None))


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """End on signals, and with the parent that started the stage."""
    with interruptible():
        if {"DVC_STAGE", "CVG_END_WITH_PARENT", "TORCHELASTIC_RUN_ID"} & set(os.environ):
            end_with_parent()
        yield


@contextmanager
def _memory_told(name: str, settings: Mapping[str, Any]) -> Iterator[None]:
    """Say what takes memory where it runs out."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # RuntimeError is torch's
        if is_out_of_memory(error):
            raise UserError(what_takes_memory(name, settings, error)) from error
        raise


def _read(
    path: Path, overrides: Sequence[str] | None, sections: Sequence[str]
) -> tuple["Params", dict[str, Any], dict[str, Any]]:
    """Read the parameters: typed, all by their dotted names, and those of the sections alone."""
    from cvg.params import leaves, load_params

    params = load_params(path, overrides or ())
    flat = dict(leaves(params.model_dump()))
    return params, flat, _selected(flat, sections)


def _joined() -> AbstractContextManager[None]:
    """Give the context in which several ranks work together."""
    if launch.world_size() == 1:
        return nullcontext()
    from cvg.training.group import joined

    return joined()


def _selected(flat: Mapping[str, Any], sections: Sequence[str]) -> dict[str, Any]:
    """Give the named parts of the parameters, as `section.key: value`."""
    return {
        key: value
        for key, value in flat.items()
        if any(key == section or key.startswith(f"{section}.") for section in sections)
    }


def resolve_paths(
    command: str,
    given: Mapping[str, Path | None],
    *,
    overrides: Sequence[str] | None = None,
    level: str = "",
) -> dict[str, Path]:
    """Fill in the paths that were not given with those of the command in dvc.yaml.

    Args:
        command: name of the command, for example "train-vqgan".
        given: option name without dashes to the value given, None where it was not.
        overrides: replaced values; results of these must not go where DVC keeps its own.
        level: the level, for the commands that run once a level.
    """
    unnamed = [f"--{name}" for name in OUTPUTS if given.get(name, Path()) is None]
    if overrides and unnamed:
        raise UserError(
            f"cvg {command} --set: give {' and '.join(unnamed)} too, so that the outputs which DVC "
            "tracks stay those of params.yaml; for a tracked run use `dvc exp run -S key=value`"
        )
    return {name: Path(value) for name, value in _filled(command, given, level).items()}


def resolve_stores(
    command: str, given: Mapping[str, str | None], *, level: str = ""
) -> dict[str, "Place"]:
    """Fill in the stores that were not given as `resolve_paths` does; each is a path or a URL.

    Args:
        command: name of the command, for example "train-vqgan".
        given: option name without dashes to the value given, None where it was not.
        level: the level, for the commands that run once a level.
    """
    from cvg.remote.url import read_place

    return {name: read_place(text) for name, text in _filled(command, given, level).items()}


def _filled(command: str, given: Mapping[str, str | Path | None], level: str) -> dict[str, str]:
    missing = [name for name, value in given.items() if value is None]
    committed = _paths_in_dvc_yaml(command, level) if missing else {}
    unknown = [name for name in missing if name not in committed]
    if unknown:
        options = " ".join(f"--{name} PATH" for name in unknown)
        raise UserError(
            f"cvg {command}: give {options}, or run from the root of the project, whose dvc.yaml "
            "names it"
        )
    return {name: str(value or committed[name]) for name, value in given.items()}


def _paths_in_dvc_yaml(command: str, level: str) -> dict[str, str]:
    """Read the options of a command from the `cmd` of its stage."""
    from cvg.params import read_tree
    from pipeline.graph import DVC_YAML, read_stages

    if not DVC_YAML.is_file():
        return {}
    for stage in read_stages(DVC_YAML, read_tree(PARAMS_PATH)):
        if stage.words[0] == command and stage.level == level:
            return {
                option.removeprefix("--"): value
                for option, value in pairwise(stage.words)
                if option.startswith("--")
            }
    return {}
