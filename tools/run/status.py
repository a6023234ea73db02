"""What a running pipeline says of itself: one line for people, one JSON object for programs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from livemef.capture.bracketing.controller import ControlStatus
from livemef.tools.run.supervisor import Child

CAPTURE_COUNTERS = ("captured", "labelled", "transitional", "unknown", "duplicates", "dropped", "not_taken")
FUSION_COUNTERS = ("brackets", "superseded", "fused", "published", "unsent")


def status(children: Mapping[str, Child]) -> dict[str, Any]:
    """Counters over all lives of the processes, and the newest rates. The keys are documented (machine-readable.md)."""
    capture, fusion = children["capture"], children["fusion"]
    answer: dict[str, Any] = {key: capture.count(key) for key in CAPTURE_COUNTERS}
    answer |= {key: fusion.count(key) for key in FUSION_COUNTERS}
    answer |= {
        "fps": _rounded(fusion.values.get("fps")),
        "latency_ms": _rounded(fusion.values.get("latency_ms")),
        "fuse_ms": _rounded(fusion.values.get("fuse_ms")),
        "ev_gap": _rounded(fusion.values.get("ev_gap")),
        "camera": capture.values.get("state", "starting"),
        "device": fusion.described.get("device"),
        "restarts": {name: child.restarts for name, child in children.items()},
    }
    return answer


def _rounded(value: Any) -> float | None:
    return None if value is None else round(float(value), 2)


def status_line(now: Mapping[str, Any]) -> str:
    """The same for a person, short enough for one line of a terminal."""
    if not now["fused"]:
        state = ControlStatus.__members__.get(now["camera"].upper())
        if state is ControlStatus.NOT_FOLLOWING:
            return f"no bracket yet: {state.value}"
        return f"camera {now['camera']}, {now['captured']} frames captured, no bracket yet"
    parts = [
        f"{_number(now['fps'], '4.1f')} frames/s",
        f"latency {_number(now['latency_ms'], '.0f')} ms",
        f"fusion {_number(now['fuse_ms'], '.1f')} ms",
        f"EV gap {_number(now['ev_gap'], '.1f')}",
        f"fused {now['fused']}",
        f"dropped {now['dropped'] + now['not_taken'] + now['superseded']}",
        f"transitional {now['transitional']}",
    ]
    restarts = sum(now["restarts"].values())
    return "  ".join(parts) + (f"  restarts {restarts}" if restarts else "")


def replay_loss(camera: str, now: Mapping[str, Any]) -> str | None:
    """One line on what a replay (file://) at the camera's pace lost, since a program that reads files expects all."""
    lost = now["dropped"] + now["not_taken"] + now["superseded"]
    if not camera.startswith("file://") or "pace=stepped" in camera or not lost:
        return None
    return f"{camera}: {lost} frames or brackets came faster than they were fused; with pace=stepped none is lost"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
