"""`livemef doctor`: checks cameras, GPU, libraries and system, and names the remedy for each fault."""

from __future__ import annotations

import json
import platform
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from livemef.tools.doctor import machine
from livemef.tools.doctor.finding import Finding
from livemef.tools.doctor.probes import PROBES
from livemef.tools.exits import DONE, SURROUNDINGS
from livemef.tools.options import JsonOption
from livemef.tools.remedies import as_typed_here, commands_in
from livemef.tools.safe_start import module_command

PROBE_LIMIT_S = 30.0
TOGETHER = 2
AREAS = ("Cameras", "GPU", "Network", "Fusion", "Publishing", "Preview", "Pictures", "Training", "System", "Clocks")
NEEDED_PROBES = ("simulated_camera", "network", "zeromq")
AREA_OF_PROBE = {
    "simulated_camera": "Cameras",
    "argus": "Cameras",
    "gpu": "GPU",
    "tensorrt": "GPU",
    "network": "Network",
    "pixels": "Fusion",
    "zeromq": "Publishing",
}
HERE: tuple[Callable[[], list[Finding]], ...] = (
    machine.v4l2_devices,
    machine.camera_packages,
    machine.other_packages,
    machine.shared_memory,
    machine.dev_shm,
    machine.cores_and_memory,
    machine.clocks,
)
MARKS = {"ok": "[green]ok[/]", "missing": "[yellow]missing[/]", "broken": "[red]broken[/]"}


def _how_it_failed(exit_code: int, errors: str) -> str:
    if exit_code < 0:
        return f"crashed with {signal.Signals(-exit_code).name}"
    lines = [line for line in errors.strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else f"ended with exit code {exit_code}"


def run_probe(name: str, limit_s: float = PROBE_LIMIT_S) -> list[Finding]:
    """Run a probe in a process of its own. A crash or a timeout of the process is returned as a finding."""

    def broken(detail: str) -> list[Finding]:
        remedy = f"{shlex.quote(sys.executable)} -m livemef.tools.doctor.probes {name} shows the whole failure"
        return [Finding(AREA_OF_PROBE[name], name, "broken", detail, remedy, name in NEEDED_PROBES)]

    command = module_command("livemef.tools.doctor.probes", name)
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=limit_s)
    except subprocess.TimeoutExpired:
        return broken(f"no answer within {limit_s:.0f} s")
    if done.returncode != 0:
        return broken(_how_it_failed(done.returncode, done.stderr))
    return [Finding(**finding) for finding in json.loads(done.stdout)]


def examine() -> list[Finding]:
    """All findings, by area."""
    with ThreadPoolExecutor(TOGETHER) as pool:
        probed = list(pool.map(run_probe, PROBES))
    findings = [finding for check in HERE for finding in check()]
    findings += [finding for group in probed for finding in group]
    return sorted(findings, key=lambda finding: AREAS.index(finding.area))


def as_json(findings: list[Finding]) -> str:
    """The report for programs; documented in docs/machine-readable.md."""
    report = {
        "ok": not any(finding.harmful for finding in findings),
        "machine": platform.machine(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "findings": [asdict(replace(finding, remedy=as_typed_here(finding.remedy))) for finding in findings],
    }
    return json.dumps(report)


def _table(findings: list[Finding]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    area = ""
    for finding in findings:
        first = f"[bold]{finding.area}[/]" if finding.area != area else ""
        area = finding.area
        text = escape(finding.detail) + (f"\n[dim]→ {escape(finding.remedy)}[/]" if finding.remedy else "")
        table.add_row(first, escape(finding.name), MARKS[finding.state], text)
    return table


def _print_commands(console: Console, findings: list[Finding]) -> None:
    """The commands behind the remedies, unwrapped, to be copied."""
    commands = commands_in(finding.remedy for finding in findings)
    if commands:
        console.print("\nTo install what is missing, here or in any other folder:")
    for command in commands:
        console.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)


def doctor_command(json_lines: JsonOption = False) -> int:
    """List which cameras, GPU and libraries are here, what is missing, and how to get it.

    Ends with 2 if something that livemef cannot do without is missing or broken, else with 0.

    Example: livemef doctor --json
    """
    findings = examine()
    harmful = [finding for finding in findings if finding.harmful]
    if json_lines:
        print(as_json(findings))
    else:
        console = Console()
        console.print(f"livemef on {platform.platform()}, {platform.machine()}, Python {platform.python_version()}\n")
        console.print(_table(findings))
        _print_commands(console, findings)
        verdict = f"[red]Not fit to run:[/] {escape(', '.join(finding.name for finding in harmful))}"
        console.print("\n" + (verdict if harmful else "[green]Fit to run.[/] What is missing is optional."))
    return SURROUNDINGS if harmful else DONE
