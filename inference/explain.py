"""Why an outline lies where it lies: what the network saw for it, and where asking again would have moved it.

Two maps of one region, made on request in a pass of its own; nothing here enters a measurement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference.architectures.head_network import upsampled
from inference.domain import EllipsePx, Explanation, Frame, Map, Measurement
from inference.measure import shift
from inference.preprocess import from_grid
from inference.registration import SeenHead, boundary_deviation
from inference.segment import Insight, Segmenter, largest_component

DROPOUT_PASSES = 3
"""Asked at least, also of a model whose answers are given without any: one pass has no spread."""


def explain(segmenter: Segmenter, frame: Frame, measurement: Measurement, level: float) -> Explanation:
    """Why a measurement of `frame` has its outline; the head is what lies above `level`.

    The same picture gives the same maps. The segmenter's network is a HeadNetwork.

    Raises:
        ValueError: there is no head in the region that the measurement names.
    """
    crop = frame.within(measurement.region)
    insight = segmenter.look_into(crop, measurement.spacing_mm, DROPOUT_PASSES)
    segmentation = insight.segmentation
    head = largest_component(segmentation.probability, level)
    if not head.any():
        raise ValueError("there is no head to explain")
    attention, deviation = (
        from_grid(values, segmentation.letterbox, *crop.shape)
        for values in (_attention(insight, head), segmentation.deviation())
    )
    return Explanation(measurement.region, attention, deviation, 1 + len(segmentation.passes))


def deviation_among_frames(segmenter: Segmenter, seen: Iterable[tuple[Frame, Measurement]], speaks: Measurement) -> Map:
    """How far the head probabilities of frames differ once each is laid on the head that `speaks`, all of one region.

    Standard deviation, 0..0.5, float32 [region rows, region columns]; one frame at a time is held.

    Raises:
        ValueError: there is no frame.
    """
    box = speaks.region

    def within(head: Measurement) -> EllipsePx:
        return shift(head.ellipse, -box.min_column, -box.min_row)

    def heads() -> Iterator[SeenHead]:
        for frame, head in seen:
            crop = frame.within(box)
            answer = segmenter(crop, head.spacing_mm)
            yield SeenHead(from_grid(answer.probability, answer.letterbox, *crop.shape), within(head))

    return boundary_deviation(heads(), within(speaks))


def grad_cam_plus_plus(maps: Tensor, score: Callable[[Tensor], Tensor]) -> Tensor:
    """GradCAM++ of a scalar over feature maps A [1, channels, rows, columns], not negative: [rows, columns], >= 0.

    Chattopadhay et al. 2018 ("Grad-CAM++", WACV, arXiv:1710.11063): the class score is Y = exp(S) of `score` S. Where
    the network above the maps is linear piece by piece, S has a gradient g and no higher derivatives, so that the first
    three of Y are Y g, Y g^2 and Y g^3, and the weight of channel k (with equation 19) is

        w_k = sum_ij alpha_ij ReLU(Y g_ij)    with    alpha_ij = g_ij^2 / (2 g_ij^2 + sum_ab A_ab g_ij^3).

    Y is one positive factor of the whole map and left out. Only g > 0 counts, where alpha is 1 / (2 + sum_ab A_ab g_ij)
    and nothing is divided by zero. The map is ReLU(sum_k w_k A_k).
    """
    with torch.inference_mode(False), torch.enable_grad():
        leaf = maps.detach().clone().requires_grad_()
        (slope,) = torch.autograd.grad(score(leaf), leaf)
    positive = torch.relu(slope)
    alpha = 1.0 / (2.0 + maps.sum(dim=(2, 3), keepdim=True) * positive)
    weights = (alpha * positive).sum(dim=(2, 3), keepdim=True)  # [1, channels, 1, 1]
    return torch.relu((weights * maps).sum(dim=1))[0].detach()


def _attention(insight: Insight, head: NDArray[np.bool_]) -> Map:
    """GradCAM++ on the last decoder convolution, 0..1 of its largest value, float32 [grid rows, grid columns].

    The scalar is the mean logit over the predicted head. A logit, since a probability is flat where the network is
    sure, which is most of a head; over the head, since an answer in pixels has no class score of its own; the mean,
    since a sum grows with the head, and alpha is not indifferent to that.
    """

    def mean_logit(maps: Tensor) -> Tensor:
        inside = torch.from_numpy(head).to(maps.device)
        return insight.network.answer(maps, (head.shape[0], head.shape[1]))[0, 0][inside].mean()

    heat = grad_cam_plus_plus(insight.maps, mean_logit)  # at the stride of the last convolution
    on_grid: Map = upsampled(heat[None, None], (head.shape[0], head.shape[1]))[0, 0].cpu().numpy()
    largest = float(on_grid.max())
    return on_grid / np.float32(largest) if largest > 0.0 else on_grid
