"""`cvg data import`: a manifest from public data as they are downloaded."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cvg.imports.kinds import Kind, View
from pipeline.options import finite

if TYPE_CHECKING:
    from cvg.imports.account import Import

MAX_NAMES = 3


def import_data(
    kind: Annotated[Kind, typer.Argument(help="What the data are; see docs/imports.md.")],
    folder: Annotated[
        str,
        typer.Argument(
            metavar="DIR",
            help="The folder that the official files unpack to; of `folder` also a URL of fsspec.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The manifest to write, a CSV file.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the manifest.")] = False,
    fold: Annotated[
        int | None, typer.Option(min=1, max=3, help="ucf101: the official split.", show_default="1")
    ] = None,
    view: Annotated[
        View | None, typer.Option(help="bair: the camera.", show_default="aux1")
    ] = None,
    held_out: Annotated[
        int | None, typer.Option(min=1, help="moving-mnist: hold out the last N sequences.")
    ] = None,
    annotations: Annotated[
        list[Path] | None,
        typer.Option(help="kinetics: a CSV file of the official annotations. Repeatable."),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(
            min=0.01, max=1000, callback=finite, help="bair, sky, moving-mnist: frames a second."
        ),
    ] = None,
    follow_links: Annotated[
        bool, typer.Option("--follow-links", help="folder: links may lead outside of it.")
    ] = False,
) -> None:
    """Write a manifest of a public data set, and say what was left out and why."""
    from cvg.imports.account import Request
    from cvg.imports.registry import run_import
    from cvg.remote.url import read_place

    request = Request(
        folder=read_place(folder),
        manifest=out,
        fold=fold,
        view=view,
        held_out=held_out,
        annotations=tuple(annotations) if annotations else None,
        fps=fps,
        follow_links=follow_links or None,
    )
    account = run_import(kind, request, replace=force)
    _print_account(account)
    if not account.rows:
        typer.secho("nothing could be used; no manifest was written", fg="yellow", err=True)
        raise typer.Exit(1)
    typer.echo(f"wrote {out}; next: cvg data check {out}")


def _print_account(account: "Import") -> None:
    from collections import Counter, defaultdict

    sides = Counter(str(row.get("split") or "no split") for row in account.rows)
    labels = {row["label"] for row in account.rows if row.get("label")}
    captions = sum(bool(row.get("caption")) for row in account.rows)
    split = ", ".join(f"{count} {side}" for side, count in sorted(sides.items()))
    typer.echo(f"{account.kind}: {split or 'no clip'}; {len(labels)} classes, {captions} captions")
    reasons: dict[str, list[str]] = defaultdict(list)
    for what, reason in account.left_out:
        reasons[reason].append(what)
    for reason, names in sorted(reasons.items(), key=lambda item: -len(item[1])):
        times = Counter(names)
        words = [name if count == 1 else f"{name} ({count})" for name, count in times.items()]
        shown = ", ".join(words[:MAX_NAMES]) + (", ..." if len(words) > MAX_NAMES else "")
        typer.secho(f"left out {len(names)}, {reason}: {shown}", fg="yellow", err=True)
    for warning in account.warnings:
        typer.secho(f"warning: {warning}", fg="yellow", err=True)
    typer.echo(
        f"found {account.found} = used {len(account.rows)} + left out {len(account.left_out)}"
    )
