"""Manifest -> sha256 -> safetensors -> network. Weights are never unpickled."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from inference.architectures.head_network import HeadNetwork
from inference.architectures.registry import ArchitectureError, build_network
from inference.domain import ModelError
from inference.models import ModelEntry


def load_network(weights: Path, entry: ModelEntry, *, device: str = "cpu", threads: int | None = None) -> HeadNetwork:
    """The network of a manifest entry, in evaluation mode; `threads` sets torch's CPU threads for the process.

    Raises:
        ModelError: unknown architecture, missing file, wrong sha256, no safetensors, or parameters that do not fit.
    """
    try:
        with torch.device("meta"):  # values come from the file alone, and once
            network = build_network(entry.architecture, entry.width)
    except ArchitectureError as error:
        raise ModelError(f"model {entry.name}: {error}") from error
    entry.verify(weights)
    try:
        network.load_state_dict(load_file(weights / entry.file), assign=True)
    except RuntimeError as error:
        raise ModelError(f"model {entry.name}: the weights do not fit the architecture") from error
    except SafetensorError as error:
        raise ModelError(f"model {entry.name}: {entry.file} is no safetensors file") from error
    if threads is not None:
        torch.set_num_threads(threads)
    network.eval()
    for_inference(network)
    return network.to(device)


def for_inference(network: nn.Module) -> None:
    """Fold each batch normalisation into the convolution before it, and lay weights out, in place and for good.

    `network` is in evaluation mode and is not trained any more. Pairs stand one after the other in an nn.Sequential, or
    are named by their module's `NORMALISED`.
    """
    for module in list(network.modules()):
        for convolution, normalisation in _pairs(module):
            folded = fuse_conv_bn_eval(getattr(module, convolution), getattr(module, normalisation))
            setattr(module, convolution, folded)
            setattr(module, normalisation, nn.Identity())
    channels_last(network)


def _pairs(module: nn.Module) -> tuple[tuple[str, str], ...]:
    """Names of convolutions and of the normalisations right behind them."""
    if not isinstance(module, nn.Sequential):
        return tuple(pair for pair in getattr(module, "NORMALISED", ()) if hasattr(module, pair[0]))
    named = pairwise(module.named_children())
    kinds = (nn.Conv2d, nn.BatchNorm2d)
    return tuple((a, b) for (a, first), (b, second) in named if (type(first), type(second)) == kinds)


def channels_last(network: nn.Module) -> None:
    """Lay convolution weights out as CPU kernels like them, in place."""
    for parameter in network.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
