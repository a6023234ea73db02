"""The feed's numbers in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from livemef.tools.preview.feed import Feed


class _FeedCollector(Collector):
    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def collect(self) -> Iterator[Metric]:
        """All metrics, as they are now."""
        feed = self._feed
        yield CounterMetricFamily("livemef_frames", "Fused frames heard of by the preview.", feed.frames)
        yield CounterMetricFamily("livemef_frames_missed", "Numbers missing among them.", feed.counter.gaps)
        restarts = feed.counter.restarts
        yield CounterMetricFamily("livemef_publisher_restarts", "Publishers that began anew.", restarts)
        yield CounterMetricFamily("livemef_malformed_messages", "Messages that could not be read.", feed.malformed)
        yield GaugeMetricFamily("livemef_frame_rate_hertz", "Fused frames a second, last two seconds.", feed.fps)
        yield GaugeMetricFamily("livemef_frame_age_seconds", "Time since the last fused frame.", feed.silent_s)
        yield GaugeMetricFamily("livemef_preview_watchers", "Browsers that look at pictures now.", feed.watchers)
        if feed.latency_ms is not None:
            yield GaugeMetricFamily("livemef_latency_seconds", "Sensor to preview, median.", feed.latency_ms / 1e3)
        yield from self._of_header()

    def _of_header(self) -> Iterator[Metric]:
        header = self._feed.header
        if header is None:
            return
        counted = CounterMetricFamily("livemef_pipeline_frames", "What became of frames.", labels=["state"])
        for state, count in asdict(header.pipeline).items():
            counted.add_metric([state], count)
        yield counted
        stages = GaugeMetricFamily("livemef_stage_seconds", "Time spent on the newest frame.", labels=["stage"])
        for stage, spent_ms in header.latency_ms.items():
            stages.add_metric([stage], spent_ms / 1e3)
        yield stages
        if header.ev_gap is not None:
            yield GaugeMetricFamily("livemef_ev_gap", "Stops between the exposures.", header.ev_gap)


def metrics_text(feed: Feed) -> bytes:
    """The metrics of `feed` in Prometheus' text format, version 0.0.4."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_FeedCollector(feed))
    return generate_latest(registry)
