"""The configured model, ready to look: all that `measure` needs of the worker, without its database and reports."""

from __future__ import annotations

from dicom_node.config import Config
from dicom_node.errors import ModelRefused
from inference.checkpoint import load_network
from inference.dating import EQUATIONS
from inference.examine import Examiner
from inference.models import ModelEntry, ModelError, find_model
from inference.segment import Segmenter


def find_entry(config: Config) -> ModelEntry:
    """The manifest entry of the configured model. Raises ModelRefused."""
    try:
        return find_model(config.weights, config.inference.model)
    except ModelError as error:
        raise ModelRefused(str(error)) from error


def build_examiner(config: Config, entry: ModelEntry) -> Examiner:
    """The examiner with its network loaded. Raises ModelRefused."""
    inference = config.inference
    try:
        network = load_network(config.weights, entry, device=inference.device, threads=inference.threads)
    except ModelError as error:
        raise ModelRefused(str(error)) from error
    precise = inference.precision == "fp32"
    segmenter = Segmenter(network, entry.grid, entry.normalisation, entry.look, precise=precise)
    return Examiner(segmenter, entry, EQUATIONS[inference.equation])
