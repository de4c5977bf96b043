"""The models of an earlier commit or experiment, brought from DVC's cache or remote.

from cvg.sampling.generator import Generator
from pipeline.revision import fetch_models

generator = Generator.load(fetch_models("calm-fish"))
"""

import subprocess
from pathlib import Path

from cvg.errors import UserError

MODELS = ("data/vqgan", "data/transformer", "data/finetuned", "data/critic")
PARAMS = "params.yaml"
FOLDER = Path(".runs/revisions")


def fetch_models(revision: str, *, project: Path | None = None) -> Path:
    """Give a folder with the models of a revision, for `Generator.load`; it is kept for next time.

    Args:
        revision: a commit, branch, tag, or name of an experiment.
        project: a clone of the project; None for the present folder.

    Raises:
        UserError: Git does not know the revision, or the models are in no cache or remote.
    """
    project = project or Path()
    commit = _commit(revision, project)
    out = project / FOLDER / commit
    if not (out / PARAMS).is_file():
        _fetch(commit, project, out)
    return out / "data"


def _commit(revision: str, project: Path) -> str:
    candidates = [revision, *_experiment(revision, project)]
    for candidate in candidates:
        done = subprocess.run(
            ["git", "-C", project, "rev-parse", "--verify", "--quiet", f"{candidate}^{{commit}}"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            return done.stdout.strip()
    raise UserError(
        f"{revision}: no commit, branch, tag or experiment of {project.resolve()}; "
        "`dvc exp show` and `git log` list them"
    )


def _experiment(name: str, project: Path) -> list[str]:
    """Find the references that DVC keeps for an experiment."""
    done = subprocess.run(
        ["git", "-C", project, "for-each-ref", "--format=%(refname)", "refs/exps"],
        capture_output=True,
        text=True,
        check=True,
    )
    return [ref for ref in done.stdout.split() if ref.rpartition("/")[2] == name]


def _fetch(commit: str, project: Path, out: Path) -> None:
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from dvc_data.index import DataIndexDirError

    from cvg.files import replacing_folder

    files = DVCFileSystem(str(project), rev=commit)
    with replacing_folder(out, marker=PARAMS) as folder:
        for path in MODELS:
            try:
                if files.exists(path):
                    files.get(path, str(folder / path), recursive=True)
            except (DvcException, DataIndexDirError, OSError) as error:
                raise UserError(
                    f"{path} of {commit[:7]} is not in DVC's cache ({error}); `dvc pull` gets it "
                    "where a remote has it, else `dvc repro` there makes it again"
                ) from error
        files.get_file(PARAMS, str(folder / PARAMS))
