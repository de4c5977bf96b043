"""Tool: two models, or two runs, side by side."""

from pathlib import Path
from typing import Annotated

import typer


def compare(
    a: Annotated[Path, typer.Argument(help="Folder of scores that `cvg evaluate` wrote.")],
    b: Annotated[Path, typer.Argument(help="Another one, of the same clips.")],
) -> None:
    """Compare two models clip by clip: differences of all figures, and whether they are chance."""
    from rich.console import Console
    from rich.table import Table

    from cvg.metrics.compare import compare_scores, read_scores
    from cvg.metrics.names import figure_key

    differences = compare_scores(read_scores(a), read_scores(b))
    table = Table(title=f"A {a}\nB {b}", title_justify="left")
    for heading in ("", "A", "B", "B - A", "95 % interval", "verdict"):
        table.add_column(heading, justify="right" if heading not in ("", "verdict") else "left")
    for one in differences:
        interval = one.interval
        table.add_row(
            figure_key(one.metric),
            f"{one.a:.5g}",
            f"{one.b:.5g}",
            f"{one.b - one.a:+.4g}",
            f"{interval.low:+.4g} to {interval.high:+.4g}" if interval else "-",
            one.verdict,
        )
    Console().print(table)
