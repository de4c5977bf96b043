"""Make data: clips of which everything is known, and clips of games with their buttons."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cvg.shapes.scene import MAX_SIZE, MIN_SIZE, Borders
from pipeline.options import finite

if TYPE_CHECKING:
    from cvg.games.play import Game

app = typer.Typer(
    help="Make data of which everything is known, or play games.", no_args_is_help=True
)

CHECKED = 50


OutArgument = Annotated[
    Path, typer.Argument(help="Folder to write; an older set in it is replaced.")
]
SeedOption = Annotated[int, typer.Option(help="Other seeds give other data.")]
EpisodesOption = Annotated[int, typer.Option(min=1, help="Games played, one clip each.")]
SizeOption = Annotated[
    int, typer.Option(min=MIN_SIZE, max=MAX_SIZE, help="Height and width, pixels.")
]
LengthOption = Annotated[int, typer.Option(min=1, help="Frames of a clip.")]


@app.callback()
def make() -> None:
    """Make data of which everything is known, or play games."""


@app.command()
def shapes(
    out: OutArgument,
    clips: Annotated[int, typer.Option(min=1, help="Clips to make.")] = 500,
    frames: Annotated[int, typer.Option(min=2, help="Frames of a clip.")] = 16,
    size: SizeOption = 64,
    seed: SeedOption = 0,
    number: Annotated[int, typer.Option("--shapes", min=1, max=2, help="Shapes in each clip.")] = 1,
    borders: Annotated[Borders, typer.Option(help="What shapes do at the edge.")] = Borders.WRAP,
    texture: Annotated[
        bool, typer.Option("--texture/--plain", help="A faint pattern on the ground, or none.")
    ] = True,
    turns: Annotated[
        bool, typer.Option("--turns", help="The first shape turns at random times.")
    ] = False,
    hold_out: Annotated[
        int,
        typer.Option(
            min=0, help="Combinations of shape, colour and direction in no training clip."
        ),
    ] = 0,
    held_out_share: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            callback=finite,
            help="Share of the clips held out besides; above 0 it is one clip at least.",
        ),
    ] = 0.1,
    fps: Annotated[
        float, typer.Option(min=1, max=1000, callback=finite, help="Frames a second.")
    ] = 10,
) -> None:
    """Make clips of moving shapes with captions, classes, actions and maps that are exactly true.

    Clip k depends on the seed, on k and on the looks alone, byte for byte on every machine.
    """
    from cvg.shapes.make import SetSettings, check_sample, make_shapes
    from cvg.shapes.world import WorldSettings

    world = WorldSettings(
        frames=frames,
        size=size,
        seed=seed,
        shapes=number,
        borders=borders,
        texture=texture,
        turns=turns,
    )
    settings = SetSettings(
        world=world, clips=clips, fps=fps, hold_out=hold_out, held_out_share=held_out_share
    )
    counts = make_shapes(out, settings)
    typer.echo(
        f"{out}: {clips} clips, {counts.get('train', 0)} for training, "
        f"{counts.get('held_out', 0)} held out"
    )
    if not counts.get("held_out"):
        typer.secho(
            "no clip is held out, and extraction needs some: give --held-out-share above 0, or "
            "more clips for --hold-out",
            fg="yellow",
            err=True,
        )
    right, read = check_sample(out, CHECKED)
    typer.echo(f"read from the pixels, {right} of {read} clips are as their captions say")


@app.command()
def atari(
    out: OutArgument,
    game: Annotated[str, typer.Option(help="Name of the game.")] = "pong",
    episodes: EpisodesOption = 20,
    frames: LengthOption = 200,
    frame_skip: Annotated[
        int, typer.Option(min=1, max=60, help="Frames of the console to each written one.")
    ] = 4,
    seed: SeedOption = 0,
) -> None:
    """Play an Atari game with random buttons, and write frames and buttons."""
    from cvg.games.atari import atari as open_atari

    _record(out, open_atari(game, frame_skip=frame_skip, seed=seed), episodes, frames, seed)


@app.command()
def crafter(
    out: OutArgument,
    episodes: EpisodesOption = 20,
    frames: LengthOption = 200,
    size: SizeOption = 64,
    seed: SeedOption = 0,
) -> None:
    """Play Crafter with random buttons, and write frames and buttons."""
    from cvg.games.crafter import crafter as open_crafter

    _record(out, open_crafter(size=size, seed=seed), episodes, frames, seed)


def _record(out: Path, game: "Game", episodes: int, frames: int, seed: int) -> None:
    from cvg.games.play import record

    played = record(out, game, episodes=episodes, frames=frames, seed=seed)
    typer.echo(f"{out}: {played.clips} clips of {game.name}, {len(game.buttons)} buttons")
    if played.shortest < frames:
        typer.echo(f"some games were over early: the shortest clip has {played.shortest} frames")
