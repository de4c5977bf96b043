"""Stages whose result is joined from parts: who makes the parts, and who joins them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cvg.errors import UserError
from pipeline.stage import StageRun, share_run, stage_run

if TYPE_CHECKING:
    from cvg.mapping.job import Job, Opened, Work
    from cvg.mapping.share import Share

PANEL = "Several processes or machines"
Launcher = Literal["local", "ray"]
LauncherOption = Annotated[
    Launcher,
    typer.Option(
        "--launcher",
        help="Who makes the parts: processes of this machine, or tasks of Ray.",
        rich_help_panel=PANEL,
    ),
]
PartWorkersOption = Annotated[
    int,
    typer.Option(
        "--workers",
        min=1,
        help="Processes of this machine that make parts, each on OMP_NUM_THREADS threads.",
        rich_help_panel=PANEL,
    ),
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Make the I-th of N shares, as in a job array; the last one joins them.",
        rich_help_panel=PANEL,
    ),
]
RayAddressOption = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        envvar="CVG_RAY_ADDRESS",
        help="Of a Ray cluster, with --launcher ray.",
        show_default="Ray on this machine",
        rich_help_panel=PANEL,
    ),
]


@dataclass(frozen=True, kw_only=True)
class Launch:
    """Who makes the parts; does not change the result."""

    launcher: Launcher
    workers: int
    shard: str | None
    ray_address: str | None

    @property
    def is_alone(self) -> bool:
        """Whether this process makes all parts."""
        return (self.launcher, self.workers, self.shard) == ("local", 1, None)

    def run(self, job: "Job", opened: "Opened", numbers: Sequence[int]) -> None:
        """Make the parts that are missing."""
        from cvg.progress import Steps
        from cvg.training.messages import tell

        name, missing = job.folder.parent.name, job.missing(numbers)
        if len(missing) < len(numbers):
            tell(f"{name}: {len(numbers) - len(missing)} of {len(numbers)} parts are there already")
        if not missing:
            return
        with Steps(name, total=sum(opened.sizes[number] for number in missing)) as steps:
            if self.launcher == "ray":
                from cvg.mapping.cluster import run_with_ray

                run_with_ray(job, missing, address=self.ray_address, steps=steps)
            else:
                from cvg.mapping.local import run_here, run_in_pool

                if self.workers > 1:
                    run_in_pool(job, missing, workers=self.workers, steps=steps)
                else:
                    run_here(job, opened, missing, steps=steps)


@dataclass(frozen=True, kw_only=True)
class MapStage:
    """A stage that is done in parts.

    Attributes:
        name: of the stage.
        sections: of the parameters that it obeys.
        params_path: the file of parameters.
        overrides: `section.key=value` texts.
        out: the folder or file that it writes, or the first of several.
        marks: files of what it writes, by which it is known again; where it is a folder, one that
            carries hashes of all the rest.
        work: gives what is to be done.
        join: writes the result from the folders of the parts.
        warn: tells people what they should know before it is done.
    """

    name: str
    sections: Sequence[str]
    params_path: Path
    overrides: Sequence[str] | None
    out: Path
    marks: Sequence[Path]
    work: Callable[[StageRun], "Work"]
    join: "Callable[[StageRun, Any, Sequence[Path]], None]"
    warn: Callable[[Any], None] = lambda _: None

    def run(self, launch: Launch, *, fresh: bool = False) -> None:
        """Do the whole stage, or the share of it that is asked.

        Raises:
            UserError: what is asked contradicts itself, or the stage fails.
        """
        if launch.shard is None:
            self._make_all(launch, fresh=fresh)
            return
        from cvg.mapping.share import Share

        share = Share.parse(launch.shard)
        if fresh:
            raise UserError(
                "--fresh would remove what the other shares have done: leave it out, or run "
                f"cvg {self.name} --fresh without --shard"
            )
        self._make_share(launch, share)

    def _make_all(self, launch: Launch, *, fresh: bool) -> None:
        with stage_run(
            self.name,
            sections=self.sections,
            params_path=self.params_path,
            overrides=self.overrides,
            out=self.out,
        ) as run:
            work = self.work(run)
            opened = work.open()
            with run.workspace(machine=opened.machine(), fresh=fresh, **opened.inputs) as workspace:
                job = _job(work, opened, workspace.folder)
                self.warn(opened)
                launch.run(job, opened, range(len(opened.sizes)))
                self.join(run, opened, [*job.parts(opened)])

    def _make_share(self, launch: Launch, share: "Share") -> None:
        from cvg.locks import if_free

        with share_run(
            self.name,
            sections=self.sections,
            params_path=self.params_path,
            overrides=self.overrides,
        ) as run:
            work = self.work(run)
            opened = work.open()
            workspace = run.shared_workspace(machine=opened.machine(), **opened.inputs)
            folder = workspace.folder
            if self._is_joined(folder):
                typer.echo(f"{self.name}: {self.out} was joined of these parts already")
                return
            workspace.make()
            job = _job(work, opened, folder)
            launch.run(job, opened, share.of(len(opened.sizes)))
            if left := _left(job, opened):
                typer.echo(
                    f"{self.name}: share {share.number} of {share.count} is done; {left} of "
                    f"{len(opened.sizes)} parts are still missing in {folder}"
                )
                return
        with if_free(folder.with_name(f"{folder.name}.joining")) as is_ours:
            # Another share may have joined them between our look and the lock.
            if not is_ours or _left(job, opened):
                typer.echo(f"{self.name}: another share joins the parts")
                return
            self._make_all(launch, fresh=False)
            self._note_joined(folder)

    def _note_joined(self, folder: Path) -> None:
        """Leave word for shares that are run once more, for the parts are gone."""
        from cvg.files import write_json

        write_json(_note(folder), self._written())

    def _is_joined(self, folder: Path) -> bool:
        from cvg.files import read_json

        if not (_note(folder).is_file() and all(mark.is_file() for mark in self.marks)):
            return False
        return read_json(_note(folder)) == self._written()

    def _written(self) -> dict[str, str]:
        """Say what lies where, by the hashes of the marks."""
        from cvg.files import sha256_file

        return {str(mark.resolve()): sha256_file(mark) for mark in self.marks}


@contextmanager
def made_in_parts(name: str, work: "Work", launch: Launch) -> "Iterator[tuple[Any, list[Path]]]":
    """Do work that is no stage, and give it, opened, and the folders of its parts.

    The parts are removed at the end; an exception keeps them.
    """
    from cvg.training.workspace import Workspace

    opened = work.open()
    key = {"runtime": dict(opened.machine()), "others": dict(opened.inputs)}
    with Workspace.open(name, key=key) as workspace:
        job = _job(work, opened, workspace.folder)
        launch.run(job, opened, range(len(opened.sizes)))
        yield opened, [*job.parts(opened)]


def _note(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.joined")


def _job(work: "Work", opened: "Opened", folder: Path) -> "Job":
    from cvg.mapping.job import Job, traits

    return Job(work=work, folder=folder, traits=traits(opened))


def _left(job: "Job", opened: "Opened") -> int:
    """Count the parts that nobody has made yet."""
    return sum(not job.is_done(number) for number in range(len(opened.sizes)))
