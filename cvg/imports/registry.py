"""All importers, by kind, and the one way to run them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cvg.errors import UserError
from cvg.imports.account import Import, Request
from cvg.imports.bair import import_bair
from cvg.imports.folder import import_folder
from cvg.imports.kinds import Kind
from cvg.imports.kinetics import import_kinetics
from cvg.imports.moving_mnist import import_moving_mnist
from cvg.imports.sky import import_sky
from cvg.imports.something import import_something
from cvg.imports.ucf101 import import_ucf101
from cvg.videos.table import write_manifest

OPTIONS = ("fold", "view", "held_out", "annotations", "fps", "follow_links")


@dataclass(frozen=True)
class Importer:
    """How a kind is read, and which options of the request it obeys."""

    read: Callable[[Request], Import]
    options: frozenset[str] = frozenset()


IMPORTERS: Mapping[Kind, Importer] = {
    Kind.UCF101: Importer(import_ucf101, frozenset({"fold"})),
    Kind.BAIR: Importer(import_bair, frozenset({"view", "fps"})),
    Kind.SKY: Importer(import_sky, frozenset({"fps"})),
    Kind.MOVING_MNIST: Importer(import_moving_mnist, frozenset({"held_out", "fps"})),
    Kind.KINETICS: Importer(import_kinetics, frozenset({"annotations"})),
    Kind.SOMETHING: Importer(import_something),
    Kind.FOLDER: Importer(import_folder, frozenset({"follow_links"})),
}


def run_import(kind: Kind, request: Request, *, replace: bool = False) -> Import:
    """Import data and write the manifest; with no row at all, none is written.

    Args:
        kind: of the data.
        request: what to import and where to.
        replace: whether a manifest that is there may be replaced.

    Side effects: writes the manifest, and for some kinds the folder `clips` beside it.

    Raises:
        UserError: the data are not of this kind, an option is not one of this kind, or the
            manifest is there already or cannot be written.
    """
    importer = IMPORTERS[kind]
    _check_options(kind, importer, request)
    try:
        _check_paths(request, replace=replace)
        account = importer.read(request)
        if account.rows:
            write_manifest(request.manifest, account.rows)
    except OSError as error:
        raise UserError(
            f"{error.filename or request.manifest}: {error.strerror or error}; expected data that "
            "can be read, and --out where files can be written"
        ) from error
    return account


def _check_options(kind: Kind, importer: Importer, request: Request) -> None:
    given = {name for name in OPTIONS if getattr(request, name) is not None}
    for name in sorted(given - importer.options):
        obeyed = ", ".join(map(_flag, sorted(importer.options))) or "none"
        raise UserError(f"{_flag(name)}: {kind} does not take this option; it takes {obeyed}")


def _check_paths(request: Request, *, replace: bool) -> None:
    folder, out = request.folder, request.manifest
    if isinstance(folder, Path) and not folder.exists():
        raise UserError(f"{folder}: no such folder; name the folder of the unpacked data")
    if isinstance(folder, Path) and not folder.is_dir():
        raise UserError(f"{folder}: found a file, expected the folder that holds the data")
    if out.suffix.lower() != ".csv":
        raise UserError(f"{out}: expected a name that ends with .csv")
    if out.is_dir():
        raise UserError(f"{out}: found a folder, expected a file to write; name another")
    if out.exists() and not replace:
        raise UserError(f"{out}: is there already; name another file, or give --force")


def _flag(option: str) -> str:
    return f"--{option.replace('_', '-')}"
