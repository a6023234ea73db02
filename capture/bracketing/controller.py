"""Bracketing of one camera: which exposure to request next, and which exposure each frame has. Pure.

The parts: `plan` (the exposures), `request_history` (when a request takes effect), `delay_probe` (measures the delay),
`labelling_reported` and `labelling_brightness` (a frame's place in the bracket), `grouping` (frames to brackets).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from livemef.capture.bracketing.delay_probe import Probe
from livemef.capture.bracketing.frame_numbers import FrameNumbers
from livemef.capture.bracketing.labelling_brightness import BrightnessLabeller, brightness_level
from livemef.capture.bracketing.labelling_reported import DeliveredPlan, light_level, match_measured
from livemef.capture.bracketing.plan import fit_plan
from livemef.capture.bracketing.request_history import (
    MAX_LEAD,
    Leads,
    RequestHistory,
    candidate_leads,
    fitting_leads,
    varies,
)
from livemef.capture.cameras.base import CameraInfo, CameraLimits
from livemef.capture.errors import CaptureError
from livemef.capture.frame import Exposure, FrameFlag, FrameRecord, LabelSource

_MISMATCHES = 3
"""Frames with another exposure than predicted, without a bracket as predicted between them, that put the delay in
doubt."""
_PROBE_PAUSE = 120
"""Fewest frames between two measurements of the delay: no frame is used for fusion while one runs."""
_FIT_EV = 0.12


@dataclass(frozen=True, slots=True)
class Delays:
    """The camera's control delays in frames, as in CameraInfo; None = unknown, to be measured.

    A request made after frame N arrived is in force from frame N + delay + 1 on: by then N + 1 is being exposed.
    """

    exposure: int | None = None
    gain: int | None = None


class ControlStatus(Enum):
    """Whether the camera follows exposure requests. The value is the message for people."""

    UNCONFIRMED = "not confirmed yet that the camera follows exposure requests"
    FOLLOWING = "the camera follows exposure requests"
    CLIPPING = "the camera clips exposure requests: frames are labelled with what it delivered"
    NOT_FOLLOWING = "the camera does not follow exposure requests, or the scene is too dark or too bright to tell"


@dataclass
class Counters:
    """Numbers of frames. received = labelled + transitional + duplicates + unknown.

    dropped: frames missing between those received, by sequence number. resynchronisations: how often the delay or the
    expected brightness was determined again.
    """

    received: int = 0
    labelled: int = 0
    transitional: int = 0
    dropped: int = 0
    duplicates: int = 0
    unknown: int = 0
    resynchronisations: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """The result for one frame: its labelled record, whether to keep it, and the request to make now, if any."""

    record: FrameRecord
    keep: bool
    request: Exposure | None


@dataclass(frozen=True, slots=True)
class _Label:
    index: int | None = None
    source: LabelSource = LabelSource.NONE
    confidence: float = 0.0
    transitional: bool = False


_UNKNOWN = _Label()
_TRANSITIONAL = _Label(transitional=True)


class BracketingController:
    """Alternates the exposures of a plan on one camera, and labels its frames.

    Call `on_frame` once for each frame received, in order, and pass `Decision.request` to the camera at once.

    plan: the requested exposures; `self.plan` is the plan fitted to the camera, dark to bright. reports_exposure:
    frames carry `measured`; where they do not, `on_frame` needs the brightness (capture.frame.brightness).
    frame_period_us: math.inf = unknown. can_request: False for a source whose exposures cannot be set (a recording);
    its plan is used as it is and may be empty if unknown. Raises PlanError if the plan cannot work.
    """

    def __init__(
        self,
        plan: Sequence[Exposure],
        limits: CameraLimits,
        delays: Delays,
        reports_exposure: bool,
        frame_period_us: float = math.inf,
        can_request: bool = True,
    ) -> None:
        self._limits = limits
        self._delays = delays
        self._reports_exposure = reports_exposure
        self._frame_period_us = frame_period_us
        self._can_request = can_request
        self._numbers = FrameNumbers(frame_period_us)
        self._history = RequestHistory()
        self._last: FrameRecord | None = None
        self._both_measured = False
        self._next_probe = 0
        self._failed_probes = 0
        self._status = ControlStatus.UNCONFIRMED
        self.counters = Counters()
        self.epoch = 0
        self._take_plan(plan)

    @classmethod
    def for_camera(cls, info: CameraInfo, exposures: Sequence[Exposure] = ()) -> BracketingController:
        """The controller for an open camera; without `exposures`, for the plan that the camera suggests."""
        plan = exposures or info.plan
        if not plan and info.can_request:
            raise CaptureError(f"{info.uri} suggests no exposures: give them, for instance 1ms,8ms")
        period_us = 1e6 / info.fps if info.fps > 0 else math.inf
        delays = Delays(info.exposure_delay, info.gain_delay)
        return cls(plan, info.limits, delays, info.reports_exposure, period_us, info.can_request)

    @property
    def status(self) -> ControlStatus:
        """Whether the camera follows exposure requests."""
        clipping = self._status is ControlStatus.FOLLOWING and self._delivered.clipped
        return ControlStatus.CLIPPING if clipping else self._status

    @property
    def delays(self) -> Delays:
        """The control delays as stated or measured so far."""
        return self._delays

    def set_plan(self, exposures: Sequence[Exposure]) -> None:
        """Change the plan: a new epoch. Raises PlanError, and keeps the old plan, if the new one cannot work."""
        self._take_plan(exposures)
        self.epoch += 1

    def on_frame(self, record: FrameRecord, brightness: float | None = None) -> Decision:
        """Label one frame and return the next request.

        brightness: 0..1 as livemef.capture.frame.brightness gives it; None if not measured.
        """
        self.counters.received += 1
        numbered = self._numbers.corrected(record)
        if numbered is None:
            self.counters.duplicates += 1
            return Decision(self._labelled(record, _UNKNOWN, None, FrameFlag.DUPLICATE), False, None)
        record = numbered
        flags = self._follow_sequence(record)
        if not self._can_request:
            label, requested = self._label_of_recorded(record), record.requested
        else:
            requested = self._history.in_force(record.sequence, self._leads) if self._leads else None
            label = self._label(record, requested, brightness)
            self._watch(record, brightness)
        self._count(label)
        if label.transitional:
            flags |= FrameFlag.TRANSITIONAL
        request = self._next_request(record.sequence) if self._can_request else None
        return Decision(self._labelled(record, label, requested, flags), label.index is not None, request)

    def _take_plan(self, exposures: Sequence[Exposure]) -> None:
        if self._can_request:
            self.plan = fit_plan(exposures, self._limits, self._frame_period_us, self._reports_exposure)
        else:
            self.plan = tuple(exposures)
        self._delivered = DeliveredPlan(self.plan)
        self._labeller = BrightnessLabeller(self.plan)
        self._reported: deque[tuple[int, float]] = deque(maxlen=4 * len(self.plan) + 8)
        self._agreed: set[int] = set()
        self._mismatches = 0
        self._leads = self._known_leads()
        self._probe: Probe | None = None
        self._settled_at: int | None = None
        """From this frame on only requests of this plan can be in force, whatever the delay."""

    def _known_leads(self) -> Leads | None:
        """Leads from the delays stated or measured; None where one that the plan needs is unknown.

        What the plan keeps constant gets the longest lead.
        """
        time_varies, gain_varies = varies(self.plan)
        if time_varies and gain_varies and not self._reports_exposure and not self._both_measured:
            # A wrong delay between time and gain mixes the members, and brightness alone would not show it.
            return None
        exposure = self._delays.exposure if time_varies else MAX_LEAD - 1
        gain = self._delays.gain if gain_varies else MAX_LEAD - 1
        return None if exposure is None or gain is None else Leads(exposure + 1, gain + 1)

    def _follow_sequence(self, record: FrameRecord) -> FrameFlag:
        last, self._last = self._last, record
        if last is None or record.sequence == last.sequence + 1:
            return FrameFlag.NONE
        if record.sequence > last.sequence:
            self.counters.dropped += record.sequence - last.sequence - 1
            return FrameFlag.AFTER_DROP
        # The driver's numbers started again: earlier requests can no longer be matched to frames.
        self._history.clear()
        self._labeller.forget()
        self._reported.clear()
        self._probe = None
        self._settled_at = None
        self._next_probe = 0
        self.counters.resynchronisations += 1
        return FrameFlag.AFTER_DROP

    def _label_of_recorded(self, record: FrameRecord) -> _Label:
        """The label of a frame of a source without requests: as recorded, else by its tag, else by its metadata."""
        if record.index is not None and record.label_source is not LabelSource.NONE:
            return _Label(record.index, record.label_source, record.confidence)
        if record.native_index is not None:
            return _Label(record.native_index, LabelSource.NATIVE, 1.0)
        if record.measured is not None and len(self.plan) > 1:
            index = match_measured(record.measured, self.plan)
            return _TRANSITIONAL if index is None else _Label(index, LabelSource.METADATA, 1.0)
        return _UNKNOWN

    def _label(self, record: FrameRecord, requested: Exposure | None, brightness: float | None) -> _Label:
        if record.measured is not None:
            return self._label_by_metadata(record, record.measured, requested)
        if record.native_index is not None:
            known = 0 <= record.native_index < len(self.plan)
            return _Label(record.native_index, LabelSource.NATIVE, 1.0) if known else _TRANSITIONAL
        if self._probe is not None or requested is None or not self._is_settled(record):
            return _UNKNOWN
        if requested not in self.plan:
            self._labeller.interrupt()
            return _TRANSITIONAL
        predicted = self.plan.index(requested)
        if brightness is None:
            return _Label(predicted, LabelSource.PREDICTED, 0.5)
        return self._label_by_brightness(predicted, brightness)

    def _label_by_metadata(self, record: FrameRecord, measured: Exposure, requested: Exposure | None) -> _Label:
        if self._probe is None and self._is_settled(record):
            self._delivered.observe(measured)
        index = match_measured(measured, self._delivered.exposures)
        if self._probe is None and requested is not None:
            self._compare(requested, index)
        if index is None:
            return _TRANSITIONAL
        if record.native_index not in (None, index):
            return _TRANSITIONAL
        return _Label(index, LabelSource.METADATA, 1.0)

    def _is_settled(self, record: FrameRecord) -> bool:
        return self._settled_at is not None and record.sequence >= self._settled_at

    def _compare(self, requested: Exposure, index: int | None) -> None:
        if index is None or self.plan[index] != requested:
            self._mismatches += 1
            self._agreed.clear()
            return
        self._agreed.add(index)
        if len(self._agreed) == len(self.plan):
            self._mismatches = 0
            self._status = ControlStatus.FOLLOWING

    def _label_by_brightness(self, predicted: int, brightness: float) -> _Label:
        relearnt = self._labeller.relearnt
        confirmation = self._labeller.confirm(predicted, brightness_level(brightness))
        self.counters.resynchronisations += self._labeller.relearnt - relearnt
        if confirmation is None:
            return _TRANSITIONAL
        if not confirmation.by_brightness:
            return _Label(predicted, LabelSource.PREDICTED, 0.5)
        self._status = ControlStatus.FOLLOWING
        return _Label(predicted, LabelSource.BRIGHTNESS, confirmation.confidence)

    def _watch(self, record: FrameRecord, brightness: float | None) -> None:
        """Measure the delay where it is unknown or no longer right."""
        level = self._observed_level(record, brightness)
        if self._probe is not None:
            if level is not None:
                self._probe.observe(record.sequence, level)
            if self._probe.over(record.sequence):
                self._finish_probe(self._probe, record.sequence)
        elif level is not None and self._reports_exposure:
            self._reported.append((record.sequence, level))
            if self._mismatches >= _MISMATCHES:
                self._refit()
        if self._probe is None and self._delay_in_doubt(record.sequence):
            self.counters.resynchronisations += self._leads is not None
            self._probe = Probe(self.plan, record.sequence)

    def _observed_level(self, record: FrameRecord, brightness: float | None) -> float | None:
        if self._reports_exposure:
            return None if record.measured is None else light_level(record.measured)
        return None if brightness is None else brightness_level(brightness)

    def _delay_in_doubt(self, sequence: int) -> bool:
        if self._leads is None:
            return True
        unconfirmed = max(self._mismatches, self._labeller.unconfirmed)
        return unconfirmed > self._labeller.most_unconfirmed and sequence >= self._next_probe

    def _refit(self) -> None:
        """Find leads that explain the exposures reported recently, without interrupting the bracket."""
        fitting = fitting_leads(self._history, self._reported, candidate_leads(self.plan), self._is_as_reported)
        if not fitting or self._leads is None or self._leads in fitting:
            return
        now = self._leads
        self._leads = min(fitting, key=lambda leads: abs(leads.exposure - now.exposure) + abs(leads.gain - now.gain))
        self._mismatches = 0
        self.counters.resynchronisations += 1

    def _is_as_reported(self, groups: dict[Exposure, list[float]]) -> bool:
        delivered = dict(zip(self.plan, self._delivered.exposures, strict=True))
        return len(groups) > 1 and all(
            abs(level - light_level(delivered.get(exposure, exposure))) <= _FIT_EV
            for exposure, levels in groups.items()
            for level in levels
        )

    def _finish_probe(self, probe: Probe, sequence: int) -> None:
        leads = probe.leads(self._history)
        self._probe = None
        self._mismatches = 0
        self._labeller.forget()
        self._reported.clear()
        self._next_probe = sequence + _PROBE_PAUSE
        if leads is None:
            self._failed_probes += 1
            if self._failed_probes > 1:
                self._status = ControlStatus.NOT_FOLLOWING
            return
        self._failed_probes = 0
        self._status = ControlStatus.FOLLOWING
        time_varies, gain_varies = varies(self.plan)
        self._delays = Delays(
            leads.exposure - 1 if time_varies else self._delays.exposure,
            leads.gain - 1 if gain_varies else self._delays.gain,
        )
        self._both_measured |= time_varies and gain_varies
        self._leads = leads

    def _next_request(self, sequence: int) -> Exposure | None:
        """The exposure whose turn it is when the request takes effect; time and gain each by their own lead."""
        if self._probe is not None:
            request = self._probe.request(sequence)
        elif self._leads is not None:
            members = len(self.plan)
            of_time = self.plan[(sequence + self._leads.exposure) % members]
            of_gain = self.plan[(sequence + self._leads.gain) % members]
            request = Exposure(of_time.exposure_us, of_gain.gain)
        else:
            request = None
        if request is not None:
            self._history.add(sequence, request)
            if self._settled_at is None:
                self._settled_at = sequence + MAX_LEAD
        return request

    def _count(self, label: _Label) -> None:
        if label.index is not None:
            self.counters.labelled += 1
        elif label.transitional:
            self.counters.transitional += 1
        else:
            self.counters.unknown += 1

    def _labelled(
        self, record: FrameRecord, label: _Label, requested: Exposure | None, flags: FrameFlag
    ) -> FrameRecord:
        return replace(
            record,
            requested=requested,
            index=label.index,
            label_source=label.source,
            confidence=label.confidence,
            epoch=self.epoch if self._can_request else record.epoch + self.epoch,
            bracket_size=len(self.plan) if self._can_request else record.bracket_size or len(self.plan),
            flags=record.flags | flags,
        )
