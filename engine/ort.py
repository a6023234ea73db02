"""The one place that imports onnxruntime, with its telemetry switched off.

From 1.29 on, the official packages send usage data to their maker and keep a device id below the user's cache folder,
unless this variable is set before the library is loaded (onnxruntime/docs/Privacy.md, pull request 27379). livemef
opens no connection that was not asked for, so all of livemef imports onnxruntime from here.
"""

from __future__ import annotations

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime

# A program that imported onnxruntime before livemef did has started its telemetry; this ends what can still be ended.
onnxruntime.disable_telemetry_events()

__all__ = ["onnxruntime"]
