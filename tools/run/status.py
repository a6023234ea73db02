"""What a running pipeline says of itself: one line for people, one JSON object for programs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from livemef.capture.bracketing.controller import ControlStatus
from livemef.tools.counted import counted
from livemef.tools.run.supervisor import Child

CAPTURE_COUNTERS = ("captured", "labelled", "transitional", "unknown", "duplicates", "dropped", "not_taken")
FUSION_COUNTERS = ("brackets", "superseded", "unmatched", "fused", "published", "unsent")


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


def api_status(children: Mapping[str, Child]) -> dict[str, Any]:
    """What GET /status shows of the pipeline (docs/control.md)."""
    counts, capture, fusion = status(children), children["capture"], children["fusion"]
    camera = dict(capture.described)
    size = str(camera.get("size", "")).split("x")
    return {
        "camera": {
            "name": camera.get("name"),
            "size": [int(side) for side in size] if len(size) == 2 else None,
            "fps": camera.get("fps"),
            "can_request": camera.get("can_request"),
            "limits": camera.get("limits"),
            "state": counts["camera"],
        },
        "plan": None,
        "auto": None,
        "epoch": None,
        **control_of(capture),
        **{key: counts[key] for key in ("fps", "latency_ms", "fuse_ms", "ev_gap", "device")},
        "model_sha256": fusion.described.get("model_sha256"),
        "counters": {key: counts[key] for key in CAPTURE_COUNTERS + FUSION_COUNTERS},
        "processes": {name: process_state(child) for name, child in children.items()},
    }


def control_of(capture: Child) -> dict[str, Any]:
    """The exposures in use, as the capture process has reported them; empty if it has not. plan: None = not known."""
    found = capture.values.get("control")
    if not found:
        return {}
    plan = [{"exposure_us": time_us, "gain": gain} for time_us, gain in found["plan"]]
    return {"epoch": found["epoch"], "auto": found["auto"], "plan": plan if found["known"] else None}


def process_state(child: Child) -> dict[str, Any]:
    """State of a process: starting, working, waiting (to be started again) or ended; restarts; why the last one was."""
    if child.process is not None:
        state = "working" if child.ready else "starting"
    else:
        state = "ended" if child.finished else "waiting"
    return {"state": state, "restarts": child.restarts, "reason": child.last_words}


def _rounded(value: Any) -> float | None:
    return None if value is None else round(float(value), 2)


def status_line(now: Mapping[str, Any]) -> str:
    """The same for a person, short enough for one line of a terminal."""
    if not now["fused"]:
        state = ControlStatus.__members__.get(now["camera"].upper())
        if state is ControlStatus.NOT_FOLLOWING:
            return f"no bracket yet: {state.value}"
        return f"camera {now['camera']}, {counted(now['captured'], 'frame')} captured, no bracket yet"
    parts = [
        f"{_number(now['fps'], '4.1f')} frames/s",
        f"latency {_number(now['latency_ms'], '.0f')} ms",
        f"fusion {_number(now['fuse_ms'], '.1f')} ms",
        f"EV gap {_number(now['ev_gap'], '.1f')}",
        f"fused {now['fused']}",
        f"dropped {_lost(now)}",
        f"transitional {now['transitional']}",
    ]
    restarts = sum(now["restarts"].values())
    return "  ".join(parts) + (f"  restarts {restarts}" if restarts else "")


def replay_loss(camera: str, now: Mapping[str, Any]) -> str | None:
    """One line on what a replay (file://) at the camera's pace lost, since a program that reads files expects all."""
    lost = _lost(now)
    if not camera.startswith("file://") or "pace=stepped" in camera or not lost:
        return None
    return f"{camera}: {lost} frames or brackets came faster than they were fused; with pace=stepped none is lost"


def _lost(now: Mapping[str, Any]) -> int:
    return int(now["dropped"] + now["not_taken"] + now["superseded"])


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
