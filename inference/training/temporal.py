"""Train temporal attention in three stages on synthetic clips; a run that was cut off goes on from its last epoch.

1. The module alone, everything else frozen, on cached maps of the bottleneck: it learns to give back what a spoilt
   frame would have shown, and to tell frames without a measurable head. Costs seconds an epoch.
2. Module and decoder, on cached features of the frozen encoder: outlines.
3. Everything at a low rate, on the pictures.

Normalisation statistics stay the still's in all stages: the frames of a clip are one picture many times over.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from inference.architectures.temporal import ClipAnswer, TemporalNetwork, temporal_network
from inference.checkpoint import channels_last
from inference.training.challenge import read_challenge
from inference.training.clips import ClipCache, TrainingClip, View, read_clip
from inference.training.examples import images_to_see
from inference.training.losses import outline_loss
from inference.training.recipe import LAST, RecipeError, network_of, recipe_of
from inference.training.temporal_recipe import (
    WEIGHTS,
    TemporalRecipe,
    begun_from,
    temporal_recipe_of,
    write_temporal_recipe,
)

log = logging.getLogger(__name__)

GRADIENT_NORM = 2.0
MEASURABLE_SHARE = 0.2
"""Weight of telling measurable frames beside the outlines."""

Step = Callable[[TrainingClip], Tensor]


class TemporalRun:
    """One run: network, and the optimiser and schedule of the stage that it is in."""

    def __init__(self, recipe: TemporalRecipe, network: TemporalNetwork, view: View, out: Path) -> None:
        self.recipe = recipe
        self.network = network
        self._view = view
        self._out = out
        self.stage, self.next_epoch = 0, 0
        self._optimizer: torch.optim.Optimizer | None = None
        self._schedule: torch.optim.lr_scheduler.LRScheduler | None = None
        channels_last(network)

    def go(self, paths: Sequence[Path]) -> None:
        """All epochs that are left."""
        self._resume(paths)
        while self.stage < len(self.recipe.epochs):
            for epoch in range(self.next_epoch, self.recipe.epochs[self.stage]):
                began = time.monotonic()
                loss = self._epoch(paths, epoch)
                self._save(epoch)
                self._tell({"stage": self.stage + 1, "epoch": epoch, "loss": loss}, began)
            self._enter(self.stage + 1, paths)

    def _epoch(self, paths: Sequence[Path], epoch: int) -> float:
        torch.manual_seed(self.recipe.seed * 10_000 + self.stage * 1000 + epoch)
        self._wake()
        order = np.random.default_rng([self.recipe.seed, self.stage, epoch]).permutation(len(paths))
        step = (self._restore, self._outline, self._outline_of_pictures)[self.stage]
        return float(np.mean([self._step(step(read_clip(paths[i]))) for i in order[: self._clips(paths)]]))

    def _clips(self, paths: Sequence[Path]) -> int:
        return min(len(paths), self.recipe.stage3_clips) if self.stage == 2 else len(paths)

    def _wake(self) -> None:
        """Training mode, but statistics stay, and what the stage freezes takes no gradient."""
        self.network.train()
        for module in self.network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(self._learns(name))

    def _learns(self, name: str) -> bool:
        if name.startswith("temporal."):
            return self.recipe.attention
        return self.stage == 2 or (self.stage == 1 and not name.startswith("still.encoder."))

    def _restore(self, clip: TrainingClip) -> Tensor:
        """How far the attended maps are from the clean ones, in deviations of each channel, and the frames' kind."""
        if not self.recipe.attention:
            return torch.zeros((), requires_grad=True)
        attended = self.network.temporal(clip.features[-1])
        spread = clip.clean.std(dim=(0, 2, 3), keepdim=True).clamp_min(1e-3)
        off = (attended.maps - clip.clean) / spread
        kept = clip.measurable
        restored = F.smooth_l1_loss(off[kept], torch.zeros_like(off[kept])) if bool(kept.any()) else off.sum() * 0.0
        return restored + MEASURABLE_SHARE * _kind_loss(attended.measurable, clip)

    def _outline(self, clip: TrainingClip) -> Tensor:
        """Outlines of some frames, drawn anew each time; all of them are attended to."""
        drawn = _draw(clip, self.recipe.stage2_frames)
        if not self.recipe.attention:
            return self._outline_loss(clip, [level[drawn] for level in clip.features], drawn)
        answer = self.network.decode(clip.features, clip.size, drawn)
        return _loss_of(answer, clip, drawn) + MEASURABLE_SHARE * _kind_loss(answer.measurable, clip)

    def _outline_of_pictures(self, clip: TrainingClip) -> Tensor:
        """Some frames of the clip, drawn anew each time, through the whole network."""
        drawn = _draw(clip, self.recipe.stage3_frames)
        return self._outline_loss(clip, self.network.still.encode(self._view.batch(clip.grey[drawn].numpy())), drawn)

    def _outline_loss(self, clip: TrainingClip, features: Sequence[Tensor], frames: Tensor) -> Tensor:
        """`features` of `frames` alone."""
        if not self.recipe.attention:
            logits = self.network.still.decode(list(features), clip.size)
            assert isinstance(logits, tuple)  # noqa: S101  training mode
            return outline_loss(logits, *clip.targets(frames))
        answer = self.network.decode(list(features), clip.size)
        kind = F.binary_cross_entropy_with_logits(answer.measurable, clip.measurable[frames].float())
        return _loss_of(answer, clip, frames) + MEASURABLE_SHARE * kind

    def _step(self, loss: Tensor) -> float:
        assert self._optimizer is not None and self._schedule is not None  # noqa: S101, PT018
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_NORM)
        self._optimizer.step()
        self._schedule.step()
        return float(loss.detach())

    def _enter(self, stage: int, paths: Sequence[Path]) -> None:
        self.stage, self.next_epoch = stage, 0
        if stage == len(self.recipe.epochs):
            return
        rate, epochs = self.recipe.rates[stage], self.recipe.epochs[stage]
        parameters = list(self.network.parameters())
        self._optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=self.recipe.weight_decay)
        steps = max(1, epochs * self._clips(paths))
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(self._optimizer, rate, total_steps=steps, pct_start=0.2)

    def _resume(self, paths: Sequence[Path]) -> None:
        if not (self._out / LAST).is_file():
            self._enter(0, paths)
            return
        state: dict[str, Any] = torch.load(self._out / LAST, map_location="cpu", weights_only=True)
        self._enter(state["stage"], paths)
        self.network.load_state_dict(state["network"])
        assert self._optimizer is not None and self._schedule is not None  # noqa: S101, PT018
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self.next_epoch = state["epoch"] + 1

    def _save(self, epoch: int) -> None:
        """Write the checkpoint beside the old one, then replace it."""
        assert self._optimizer is not None and self._schedule is not None  # noqa: S101, PT018
        state = {
            "network": self.network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "stage": self.stage,
            "epoch": epoch,
        }
        part = self._out / f"{LAST}.part"
        torch.save(state, part)
        part.replace(self._out / LAST)

    def _tell(self, row: dict[str, Any], began: float) -> None:
        row["seconds"] = round(time.monotonic() - began, 1)
        with (self._out / "history.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        log.info("train.epoch", extra=row)


def _draw(clip: TrainingClip, count: int) -> Tensor:
    """Places of up to `count` frames of the clip, in their order."""
    return torch.randperm(len(clip.grey))[:count].sort().values


def _loss_of(answer: ClipAnswer, clip: TrainingClip, frames: Tensor) -> Tensor:
    assert isinstance(answer.logits, tuple)  # noqa: S101  training mode
    return outline_loss(answer.logits, *clip.targets(frames))


def _kind_loss(logits: Tensor, clip: TrainingClip) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, clip.measurable.float())


def train_temporal(data: Path, still: Path, out: Path, recipe: TemporalRecipe) -> Path:
    """Train on clips of the exams that the run `still` may see; returns the path of the weights in `out`.

    `out/cache` holds the clips and may be deleted when the run is done.

    Raises:
        RecipeError: `still` is no finished run, or `out` holds a run by another recipe.
        ChallengeFolderError: the folder is not that of the challenge.
    """
    recipe = begun_from(still, recipe)
    torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    out.mkdir(parents=True, exist_ok=True)
    if (out / LAST).is_file() and temporal_recipe_of(out) != recipe:
        raise RecipeError(f"{out} holds a run by another recipe; choose another folder")
    write_temporal_recipe(recipe, out)
    origin, network = recipe_of(still), temporal_network(network_of(still))
    view = View(origin.last_grid, origin.normalisation)
    paths = ClipCache(out / "cache", network.still.eval(), view, recipe).fill(
        images_to_see(read_challenge(data), origin)
    )
    run = TemporalRun(recipe, network, view, out)
    run.go(paths)
    torch.save(network.state_dict(), out / WEIGHTS)
    return out / WEIGHTS


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A temporal network in evaluation mode, how it sees pictures, and its recipe."""

    network: TemporalNetwork
    view: View
    recipe: TemporalRecipe


def finished_run(still: Path, out: Path) -> FinishedRun:
    """What `train_temporal` made of the run `still` in `out`.

    Raises:
        RecipeError: it has not finished, or began with other weights.
    """
    recipe = temporal_recipe_of(out)
    begun_from(still, recipe)
    if not (out / WEIGHTS).is_file():
        raise RecipeError(f"{out}: {WEIGHTS} is missing, so the run has not finished")
    origin, network = recipe_of(still), temporal_network(network_of(still))
    network.load_state_dict(torch.load(out / WEIGHTS, map_location="cpu", weights_only=True))
    channels_last(network)
    return FinishedRun(network.eval(), View(origin.last_grid, origin.normalisation), recipe)
