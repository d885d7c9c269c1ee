"""Results of tasks for a terminal: a table of scores, and one of two models' differences."""

from __future__ import annotations

from rich.table import Table

from centime.evaluate.harness.kept import Results
from centime.evaluate.harness.scores import TaskScore, difference


def scores_table(results: Results) -> Table:
    """A line a metric: the mean with its 95 % interval, over how many documents; over several passes pass@n and the
    commonest answer besides."""
    passes = max((score.passes for score in results.scores), default=1)
    table = Table(title=f"{results.model}", title_justify="left")
    table.add_column("task", overflow="fold")
    table.add_column("pass@1" if passes > 1 else "score", justify="right")
    if passes > 1:
        table.add_column(f"pass@{passes}", justify="right")
        table.add_column(f"majority of {passes}", justify="right")
    table.add_column("documents", justify="right")
    for score in results.scores:
        several = [""] * 2 if passes > 1 else []
        if score.passes > 1:
            several = [f"{score.pass_at(score.passes):.3f}", f"{score.majority:.3f}"]
        table.add_row(score.name, _mean(score), *several, f"{len(score.documents):,}" if score.documents else "")
    return table


def _mean(score: TaskScore) -> str:
    mean = f"{score.mean:.3f}" if abs(score.mean) < 1e6 else f"{score.mean:.3e}"
    if (interval := score.interval) is None:
        return mean
    return f"{mean} ({interval[0]:.3f} to {interval[1]:.3f})"


def differences_table(first: Results, second: Results) -> Table:
    """Both means on the documents that both answered, and how sure the difference is."""
    table = Table(title=f"{first.model} against {second.model}, document by document", title_justify="left")
    table.add_column("task", overflow="fold")
    for heading in (first.model, second.model, "difference", "documents"):
        table.add_column(heading, justify="right", overflow="fold")
    others = {(score.task, score.filter, score.metric): score for score in second.scores}
    for score in first.scores:
        other = others.get((score.task, score.filter, score.metric))
        if other is None:
            table.add_row(score.name, _mean(score), "not asked", "", "")
        elif (found := difference(score, other)) is not None:
            apart = "" if found.half_width is None else f" ± {found.half_width:.3f}"
            unsure = "" if found.is_certain else ", may be chance"
            unsure = ", the same" if found.difference == 0 == found.half_width else unsure
            means = f"{found.first:.3f}", f"{found.second:.3f}"
            table.add_row(score.name, *means, f"{found.difference:+.3f}{apart}{unsure}", f"{found.documents:,}")
        elif score.value is not None and other.value is not None:
            table.add_row(score.name, f"{score.mean:.3f}", f"{other.mean:.3f}", f"{score.mean - other.mean:+.3f}", "")
        else:
            table.add_row(score.name, f"{score.mean:.3f}", f"{other.mean:.3f}", "no document in common", "")
    return table
