"""The models that rules name: loaded at the start, each once, and missed at the start too."""

from __future__ import annotations

import pytest

from dicom_node.config import Config
from dicom_node.errors import ModelRefused
from dicom_node.examiner import other_models


def config(*models: str) -> Config:
    return Config.model_validate({"rules": [{"name": f"r{n}", "model": name} for n, name in enumerate(models)]})


def test_a_model_that_a_rule_names_and_nobody_has_stops_the_start() -> None:
    with pytest.raises(ModelRefused, match="no-such-model"):
        other_models(config("no-such-model"))


def test_a_model_is_loaded_once_however_many_rules_name_it() -> None:
    shipped = Config().inference.model
    engine = other_models(config(shipped, shipped))
    assert engine(shipped) is engine(shipped)
    assert engine(shipped).entry.name == shipped
    assert engine(shipped).examiner.model == engine(shipped).entry.identity


def test_a_model_of_a_rule_that_is_gone_is_looked_for_when_it_is_wanted() -> None:
    engine = other_models(config())
    with pytest.raises(ModelRefused, match="no-such-model"):
        engine("no-such-model")
