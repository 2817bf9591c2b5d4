"""Compiled code: the same numbers, the same names, made once for all models of a class."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters

from modules.compute.compiler import start_compiler
from modules.config.errors import OptionError
from modules.config.schema import Model
from modules.config.values import Size
from modules.models.build import Network, build_network
from modules.models.compiling import Compiled, compiled
from modules.models.freezing import freeze
from modules.models.metadata import call

BATCH = 4


@pytest.fixture(autouse=True)
def _code_that_is_made_quickly(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Models are traced as for any code; what runs are torch's own operations."""
    torch._dynamo.reset()
    counters.clear()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    yield
    torch._dynamo.reset()


def made() -> int:
    """Pieces of code so far."""
    return counters["stats"]["unique_graphs"]


def network(seed: int = 0, metadata: int = 0, **options: str) -> Network:
    torch.manual_seed(seed)
    return build_network(Model(name="test_resnet", **options), 3, 3, Size(32, 32), False, metadata)


def images(count: int = BATCH) -> torch.Tensor:
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_full_batches_are_compiled_and_others_go_through_the_model_as_it_is() -> None:
    module = network().module.eval()
    code = Compiled(module, BATCH)
    with torch.inference_mode():
        for count, pieces in ((3, 0), (1, 0), (BATCH, 1), (5, 1), (BATCH, 1)):
            assert torch.equal(code(images(count)), module(images(count)))
            assert made() == pieces


@pytest.mark.slow
@pytest.mark.parametrize(
    ("metadata", "options"),
    [(0, {}), (2, {}), (0, {"head": "append"})],
)
def test_the_next_fold_finds_the_code_of_the_first(metadata: int, options: dict[str, str]) -> None:
    for fold in range(3):
        module = network(fold, metadata, **options).module
        code, known = Compiled(module, BATCH), torch.rand(BATCH, metadata) if metadata else None
        code.train()
        assert module.training
        torch.manual_seed(3)
        logits = call(code, images(), known)
        logits.sum().backward()
        assert all(parameter.grad is not None for parameter in module.parameters())
        code.eval()
        with torch.inference_mode():
            assert torch.equal(call(code, images(), known), call(module, images(), known))
        assert made() == 2, "training and predicting"


def test_frozen_layers_have_code_of_their_own_and_no_gradient() -> None:
    for fold in range(2):
        one = network(fold)
        freeze(one, "backbone")
        Compiled(one.module, BATCH).train()(images()).sum().backward()
        assert {name for name, each in one.module.named_parameters() if each.grad is not None} == {"fc.weight", "fc.bias"}
        assert made() == 1


def test_a_model_keeps_its_names_and_tensors() -> None:
    module = network().module
    names = list(module.state_dict())
    code = Compiled(module, BATCH)
    code(images())
    assert list(module.state_dict()) == names and not list(code.parameters())
    assert compiled(module, False, BATCH) is module


def test_a_model_that_cannot_be_compiled_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(graph: torch.fx.GraphModule, examples: list[torch.Tensor]) -> None:
        raise RuntimeError("no such instruction\nand many lines more")

    monkeypatch.setattr(torch, "compile", partial(torch.compile.func, backend=fails))  # type: ignore[attr-defined]
    with pytest.raises(OptionError) as caught:
        Compiled(nn.Linear(2, 2), BATCH)(torch.ones(BATCH, 2))
    assert caught.value.args == ("settings", "compile", "this model cannot be compiled: no such instruction; use false")


def test_a_machine_that_cannot_compile_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(graph: torch.fx.GraphModule, examples: list[torch.Tensor]) -> None:
        raise RuntimeError("No compiler found.\nLook for one")

    start_compiler(torch.device("cpu"))
    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile.func, backend=fails))  # type: ignore[attr-defined]
    with pytest.raises(OptionError) as caught:
        start_compiler(torch.device("cpu"))
    fault = "nothing can be compiled here: No compiler found; torch needs a C++ compiler, such as g++ for it. Or use false"
    assert caught.value.args == ("settings", "compile", fault)


@pytest.mark.slow
def test_code_of_the_real_compiler_computes_what_the_model_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", torch.compile.func)  # type: ignore[attr-defined]
    gradients = []
    for fold in range(2):
        module, twin = network(fold).module, network(fold).module
        found, wanted = Compiled(module, BATCH).train()(images()), twin.train()(images())
        assert torch.allclose(found, wanted, atol=1e-4)
        for logits in (found, wanted):
            logits.square().sum().backward()
        gradients = [(one.grad, other.grad) for one, other in zip(module.parameters(), twin.parameters(), strict=True)]
        assert all(torch.allclose(one, other, rtol=1e-3, atol=1e-4) for one, other in gradients)  # type: ignore[arg-type]
        module.eval()
        with torch.inference_mode():
            assert torch.allclose(Compiled(module, BATCH)(images()), module(images()), atol=1e-4)
        assert made() == 2
