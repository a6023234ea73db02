"""Table of the arms of an experiment: mean and spread of each, and its difference from the first."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

Runs = dict[str, list[dict[str, float]]]
"""By arm: the values by name of every run (a seed, or a scene). The first arm is the baseline."""


def print_comparison(runs: Runs, headings: Mapping[str, str], title: str, json_output: bool) -> None:
    """Print the runs as a table, or as one JSON object."""
    if json_output:
        print(json.dumps({"arms": {arm: {"runs": rows, **_summary(rows)} for arm, rows in runs.items()}}))
    else:
        Console().print(comparison(runs, headings, title))


def _summary(rows: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    spread = {name: spread_of([row[name] for row in rows]) for name in rows[0]}
    return {"mean": {name: value[0] for name, value in spread.items()}, "sd": {n: v[1] for n, v in spread.items()}}


def spread_of(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation (n - 1; 0 of a single value) of the values that are numbers."""
    known = np.array([value for value in values if np.isfinite(value)])
    if not len(known):
        return float("nan"), float("nan")
    return float(known.mean()), float(known.std(ddof=1)) if len(known) > 1 else 0.0


def comparison(runs: Runs, headings: Mapping[str, str], title: str) -> Table:
    """Table of mean and spread of every arm, and of the paired differences from the baseline."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("", no_wrap=True)
    for heading in headings.values():
        table.add_column(heading, justify="right", no_wrap=True)
    first = next(iter(runs.values()))
    for arm, rows in runs.items():
        table.add_row(arm, *[_cell([row[name] for row in rows], name) for name in headings])
        if rows is not first:
            pairs = list(zip(rows, first, strict=True))
            cells = [_cell([row[name] - base[name] for row, base in pairs], name, "+") for name in headings]
            table.add_row("  difference", *cells, style="dim")
    return table


def _cell(values: Sequence[float], name: str, sign: str = "") -> str:
    mean, spread = spread_of(values)
    digits = 4 if name.startswith("mef_ssim") else 2
    return f"{mean:{sign}.{digits}f} ±{spread:.{digits}f}"
