"""The command line: one command a stage, and the tools around them."""

import sys

import typer

from cvg import launch
from cvg.errors import UserError
from cvg.interrupts import Interrupted
from pipeline import (
    accept,
    chain,
    check_transformers,
    check_vqgan,
    compare,
    data,
    doctor,
    evaluate,
    explain,
    extract,
    figures,
    finetune,
    plan,
    preset,
    report,
    sample,
    sweep,
    tokenize,
    train_critic,
    train_transformer,
    train_vqgan,
    ui,
    weights,
)
from pipeline.shortage import is_disk_full, is_out_of_memory

app = typer.Typer(
    name="cvg",
    help="Conditional video generation: from a folder of videos to scored samples.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

STAGES = "Stages, in the order of the pipeline"
TOOLS = "Tools"

app.command("extract", rich_help_panel=STAGES)(extract.extract)
app.command("train-vqgan", rich_help_panel=STAGES)(train_vqgan.train_vqgan)
app.command("check-vqgan", rich_help_panel=STAGES)(check_vqgan.check_vqgan)
app.command("tokenize", rich_help_panel=STAGES)(tokenize.tokenize)
app.command("train-transformer", rich_help_panel=STAGES)(train_transformer.train_transformer)
app.command("check-transformers", rich_help_panel=STAGES)(check_transformers.check_transformers)
app.command("train-critic", rich_help_panel=STAGES)(train_critic.train_critic)
app.command("finetune", rich_help_panel=STAGES)(finetune.finetune)
app.command("sample", rich_help_panel=STAGES)(sample.sample)
app.command("evaluate", rich_help_panel=STAGES)(evaluate.evaluate)
app.command("report", rich_help_panel=STAGES)(report.report)
app.command("run", rich_help_panel=TOOLS)(chain.run)
app.command("sweep", rich_help_panel=TOOLS)(sweep.sweep)
app.command("explain", rich_help_panel=TOOLS)(explain.explain)
app.command("figures", rich_help_panel=TOOLS)(figures.figures)
app.command("accept", rich_help_panel=TOOLS)(accept.accept)
app.command("compare", rich_help_panel=TOOLS)(compare.compare)
app.add_typer(data.app, name="data", rich_help_panel=TOOLS)
app.add_typer(weights.app, name="weights", rich_help_panel=TOOLS)
app.command("preset", rich_help_panel=TOOLS)(preset.preset)
app.command("plan", rich_help_panel=TOOLS)(plan.plan)
app.command("ui", rich_help_panel=TOOLS)(ui.ui)
app.command("doctor", rich_help_panel=TOOLS)(doctor.doctor)


def main() -> None:
    """Run the command line; an error meant for people is printed without a traceback."""
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    try:
        app(args=[word for word in arguments if word != "--debug"], prog_name="cvg")
    except UserError as error:
        if debug:
            raise
        _tell_of(f"{error}")
        sys.exit(2)
    except Interrupted as error:
        if launch.is_first():
            typer.secho(
                f"stopped by {error}; nothing that was finished is lost, and the same command goes "
                "on",
                fg="yellow",
                err=True,
            )
        sys.exit(error.exit_status)
    except Exception as error:
        if debug or not (said := _what_is_short(error)):
            raise
        _tell_of(said)
        sys.exit(2)


def _tell_of(error: str) -> None:
    """Print an error; of several ranks each tells its own, by its number."""
    teller = "" if launch.world_size() == 1 else f"rank {launch.rank()}: "
    typer.secho(f"{teller}error: {error}", fg="red", err=True)


def _what_is_short(error: Exception) -> str:
    """Say that the machine has no more disk or memory, if that is what happened."""
    if is_out_of_memory(error):
        return (
            "the memory of this machine is not enough; close other programs and run the command "
            "again"
        )
    if not is_disk_full(error):
        return ""
    name = getattr(error, "filename", None)
    where = f" to {name}" if name else ""
    reason = getattr(error, "strerror", None) or error
    return (
        f"nothing more can be written{where}: {reason}. Free some space and run the command "
        "again; `dvc checkout` brings back earlier results"
    )


if __name__ == "__main__":
    main()
