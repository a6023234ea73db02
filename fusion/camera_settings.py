"""Fusion settings that follow from a camera's measured response."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from livemef.fusion.method.colour_transfer import fitted_shoulder
from livemef.fusion.settings import FusionSettings


def settings_for(settings: FusionSettings, response: Sequence[Sequence[float]] | None) -> FusionSettings:
    """The settings, with `shoulder` by the response of the pictures that are fused where nobody has set it.

    response: linear light of blue, green and red at equally spaced codes 0..1; None = not measured.
    """
    if response is None or settings.shoulder != FusionSettings().shoulder:
        return settings
    return replace(settings, shoulder=fitted_shoulder(response))
