"""What both networks promise: one calling convention, and a decoder that may be asked again."""

import pytest
import torch
from torch import nn

from inference.architectures.head_network import HeadNetwork
from inference.architectures.registry import (
    ARCHITECTURES,
    EFFICIENTNET,
    RESIDUAL,
    ArchitectureError,
    build_network,
)
from inference.checkpoint import for_inference

ROWS, COLUMNS = 64, 96


def picture() -> torch.Tensor:
    return torch.rand(2, 1, ROWS, COLUMNS, generator=torch.Generator().manual_seed(1))


@pytest.fixture(params=[(EFFICIENTNET, 1.0), (RESIDUAL, 0.25)], ids=[EFFICIENTNET, RESIDUAL])
def network(request: pytest.FixtureRequest) -> HeadNetwork:
    torch.manual_seed(2)
    return build_network(*request.param).eval()


def parameters(architecture: str, width: float) -> int:
    return sum(p.numel() for p in build_network(architecture, width).parameters())


def test_every_architecture_is_tried_here() -> None:
    assert set(ARCHITECTURES) == {EFFICIENTNET, RESIDUAL}


def test_the_residual_network_has_its_published_size_and_shrinks_with_the_square_of_its_width() -> None:
    assert round(parameters(RESIDUAL, 1.0) / 1e6, 2) == 8.11
    assert parameters(RESIDUAL, 0.5) == pytest.approx(parameters(RESIDUAL, 1.0) / 4, rel=0.01)


@pytest.mark.parametrize(("architecture", "width"), [("vgg", 1.0), (EFFICIENTNET, 0.5), (RESIDUAL, 0.0)])
def test_what_is_not_built_is_refused_by_name(architecture: str, width: float) -> None:
    with pytest.raises(ArchitectureError, match=architecture):
        build_network(architecture, width)


def test_the_answer_is_that_of_the_decoder_on_the_encoder(network: HeadNetwork) -> None:
    with torch.no_grad():
        whole = network(picture())
        again = network.decode(network.encode(picture()), (ROWS, COLUMNS))
    assert isinstance(whole, torch.Tensor)
    assert whole.shape == (2, 1, ROWS, COLUMNS)
    assert torch.equal(whole, again)


def test_a_network_for_inference_answers_alike_without_its_normalisations(network: HeadNetwork) -> None:
    """Statistics and weights that a forgotten or doubled normalisation would not pass by."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_mean, module.running_var, module.weight, module.bias):
                tensor.data.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(tensor.numel()))
    with torch.no_grad():
        before = network(picture())
        count = sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())
        for_inference(network)
        after = network(picture())
    assert sum(isinstance(module, nn.BatchNorm2d) for module in network.modules()) < count
    assert float((before - after).abs().max()) < 0.02 * float(before.std())


def test_training_answers_three_times(network: HeadNetwork) -> None:
    answers = network.train()(picture())
    assert [tuple(answer.shape) for answer in answers] == [(2, 1, ROWS, COLUMNS)] * 3


def test_dropout_stands_in_the_decoder_only_and_every_pass_draws_anew(network: HeadNetwork) -> None:
    dropped = [name for name, m in network.named_modules() if isinstance(m, nn.Dropout | nn.Dropout2d) and m.p > 0]
    assert dropped
    assert not [name for name in dropped if name.startswith("encoder")]
    with torch.no_grad():
        features = network.encode(picture())
        still = network.decode(features, (ROWS, COLUMNS))
        for name in dropped:
            network.get_submodule(name).train()
        first, second = (network.decode(features, (ROWS, COLUMNS)) for _ in range(2))
    assert torch.equal(still, network.eval().decode(features, (ROWS, COLUMNS)))
    assert not torch.equal(first, second)
