"""Manifest -> sha256 -> safetensors -> network. Weights are never unpickled."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from inference.architectures.head_network import HeadNetwork
from inference.architectures.registry import ArchitectureError, build_network
from inference.domain import ModelError
from inference.models import ModelEntry


def load_network(weights: Path, entry: ModelEntry, *, device: str = "cpu", threads: int | None = None) -> HeadNetwork:
    """The network of a manifest entry, in evaluation mode; `threads` sets torch's CPU threads for the process.

    Raises:
        ModelError: unknown architecture, missing file, wrong sha256, or parameters that do not fit.
    """
    try:
        network = build_network(entry.architecture, entry.width)
    except ArchitectureError as error:
        raise ModelError(f"model {entry.name}: {error}") from error
    entry.verify(weights)
    try:
        network.load_state_dict(load_file(weights / entry.file))
    except RuntimeError as error:
        raise ModelError(f"model {entry.name}: the weights do not fit the architecture") from error
    if threads is not None:
        torch.set_num_threads(threads)
    network.eval()
    channels_last(network)
    return network.to(device)


def channels_last(network: nn.Module) -> None:
    """Lay convolution weights out as CPU kernels like them, in place."""
    for parameter in network.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
