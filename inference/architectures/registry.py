"""Architectures by name, for the manifest and for training."""

from __future__ import annotations

from collections.abc import Callable

from inference.architectures.efficientnet_lite_unet import EfficientNetLiteUNet
from inference.architectures.head_network import HeadNetwork
from inference.architectures.residual_unet import ResidualUNet

EFFICIENTNET = "efficientnet-lite0-unet"
RESIDUAL = "residual-unet"


class ArchitectureError(ValueError):
    """No architecture has that name, or it does not come in that width."""


def _efficientnet(width: float) -> HeadNetwork:
    if width != 1.0:
        raise ArchitectureError(f"{EFFICIENTNET} comes in full width only: its encoder's weights are published")
    return EfficientNetLiteUNet()


ARCHITECTURES: dict[str, Callable[[float], HeadNetwork]] = {EFFICIENTNET: _efficientnet, RESIDUAL: ResidualUNet}


def build_network(architecture: str, width: float = 1.0) -> HeadNetwork:
    """A network with untrained weights; `width` is its share of the channels of the full network.

    Raises:
        ArchitectureError: unknown name, or no such width.
    """
    if architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ArchitectureError(f"architecture {architecture!r} is not known to this version; known: {known}")
    if not 0.0 < width <= 1.0:
        raise ArchitectureError(f"{architecture}: width {width:g} is not a share of the channels between 0 and 1")
    return ARCHITECTURES[architecture](width)
