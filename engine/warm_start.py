"""Weights of a trained network, of a model that livemef wrote or a checkpoint: to start from, or to blend with."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from livemef.engine.errors import EngineError
from livemef.engine.model_file import read_model
from livemef.engine.open_net import find_model
from livemef.engine.training import Start, load_checkpoint, load_weights
from livemef.engine.unet import LightnessUNet


def start_from(model: str | Path) -> Start:
    """What a run starts from: a shipped model (its name), an ONNX file, or a checkpoint (.pt).

    Raises EngineError for anything else.
    """
    path = Path(model)
    if path.suffix == ".pt":
        state = load_checkpoint(path)
        return Start(state["average"], f"{state['config']['name']} at step {state['step']}")
    path = find_model(model)
    data = read_model(path)
    return Start(_weights(path, data), f"{path.stem} {hashlib.sha256(data).hexdigest()[:12]}")


def blend_into(net: LightnessUNet, other: Start, share: float) -> None:
    """Replace the weights of a network by their mean with those of another, which counts with `share` (0..1).

    For a network and the one that it was trained on from: it keeps most of what it learned and forgets less of what
    the other could do (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022). Raises EngineError for
    weights of another network.
    """
    own = net.state_dict()
    if any(name not in own or own[name].shape != value.shape for name, value in other.weights.items()):
        raise EngineError(f"{other.origin}: has the weights of another network (other widths); blend related ones")
    load_weights(net, {name: torch.lerp(own[name], value, share) for name, value in other.weights.items()})


def _weights(path: Path, data: bytes) -> dict[str, Tensor]:
    try:
        graph = onnx.load_model_from_string(data).graph
        values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    except Exception as error:  # protobuf's and onnx's exceptions have no common base
        raise EngineError(f"model {path}: not an ONNX model ({type(error).__name__}); fetch it again") from error
    return {
        _name_in_net(name): torch.from_numpy(np.array(value, np.float32))
        for name, value in values.items()
        if name.startswith(("down", "up", "last."))
    }


def _name_in_net(name: str) -> str:
    """The name in LightnessUNet of a tensor of `engine.export`: "down0.conv1.weight" is "down.0.2.weight"."""
    block, *rest = name.split(".")
    if block == "last":
        return name
    side = block.rstrip("0123456789")
    convolution, kind = rest
    return f"{side}.{block[len(side) :]}.{2 * int(convolution.removeprefix('conv'))}.{kind}"
