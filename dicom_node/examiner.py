"""The configured model, ready to look: all that `measure` needs of the worker, without its database and reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dicom_node.config import Config
from dicom_node.errors import ModelRefused
from inference.checkpoint import load_network
from inference.dating import EQUATIONS
from inference.domain import ModelError
from inference.examine import Examiner
from inference.models import ModelEntry, find_model
from inference.segment import Segmenter


@dataclass(frozen=True, slots=True)
class Engine:
    """A loaded model and its entry in the manifest."""

    examiner: Examiner
    entry: ModelEntry


def other_models(config: Config) -> Callable[[str], Engine]:
    """Gives the engine of a model by its name. Those that rules name are loaded now, any other when it is asked for.

    Another: its rule was taken out of the configuration, and objects that it spoke for still wait.

    Raises:
        ModelRefused: a model that a rule names is missing or altered; the function that is given back raises it too.
    """
    loaded: dict[str, Engine] = {}

    def engine(name: str) -> Engine:
        if name not in loaded:
            inference = config.inference.model_copy(update={"model": name})
            changed = config.model_copy(update={"inference": inference})
            entry = find_entry(changed)
            loaded[name] = Engine(build_examiner(changed, entry), entry)
        return loaded[name]

    for rule in config.rules:
        if rule.model is not None:
            engine(rule.model)
    return engine


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
