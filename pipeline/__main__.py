"""The command line: one command a stage, and the tools around them."""

import errno
import sys

import typer

from cvg.errors import UserError
from pipeline import (
    accept,
    check_transformers,
    check_vqgan,
    compare,
    data,
    doctor,
    evaluate,
    extract,
    figures,
    finetune,
    preset,
    report,
    sample,
    tokenize,
    train_critic,
    train_transformer,
    train_vqgan,
    ui,
    weights,
)

app = typer.Typer(
    name="cvg",
    help="Conditional video generation: from a folder of videos to scored samples.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)

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
app.command("figures", rich_help_panel=TOOLS)(figures.figures)
app.command("accept", rich_help_panel=TOOLS)(accept.accept)
app.command("compare", rich_help_panel=TOOLS)(compare.compare)
app.add_typer(data.app, name="data", rich_help_panel=TOOLS)
app.add_typer(weights.app, name="weights", rich_help_panel=TOOLS)
app.command("preset", rich_help_panel=TOOLS)(preset.preset)
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
        typer.secho(f"error: {error}", fg="red", err=True)
        sys.exit(2)
    except OSError as error:
        if debug or error.errno not in DISK_FULL:
            raise
        where = f" to {error.filename}" if error.filename else ""
        typer.secho(
            f"error: nothing more can be written{where}: {error.strerror}. Free some space and "
            "run the command again; `dvc checkout` brings back earlier results",
            fg="red",
            err=True,
        )
        sys.exit(2)


if __name__ == "__main__":
    main()
