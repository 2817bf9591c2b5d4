"""A model cut in two where what is frozen ends: a trunk that makes features of images, and a tail that makes logits of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from inspect import signature
from typing import Any

import torch
from torch import fx, nn
from torch.fx.proxy import TraceError
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.flop_counter import FlopCounterMode

from modules.config.values import Size
from modules.models.build import Network
from modules.models.freezing import Frozen
from modules.models.metadata import Joined

TOLERANCE = 1e-4  # of logits, between the whole model and its two parts
MIXED = 0.01  # of the largest feature: more than batches of another size may change by rounding, on any device


class NotCut(Exception):
    """Why a model is not cut there, as a phrase."""


@dataclass(frozen=True)
class Cut:
    """Where a model is cut. It holds no tensors: it is of every module of that architecture, whatever its weights and classes.

    shapes: of one image's features, before they became a row of numbers. share: of the multiplications of a forward pass,
    how many are the trunk's.
    """

    shapes: tuple[tuple[int, ...], ...]
    share: float
    trunk: fx.Graph = field(repr=False)
    tails: dict[bool, fx.Graph] = field(repr=False)

    @property
    def numbers(self) -> int:
        """Of one image."""
        return sum(math.prod(shape) for shape in self.shapes)

    def trunk_of(self, module: nn.Module) -> Trunk:
        """(batch, channels, height, width) images to (batch, numbers) features, with the module's own layers."""
        return Trunk(module, self.trunk)

    def tail_of(self, module: nn.Module) -> Tail:
        """(batch, numbers) features to (batch, classes) logits, with the module's own layers. It trains or not as the module does."""
        return Tail(module, self.tails, self.shapes)


class Trunk(nn.Module):
    """What is frozen."""

    graph: fx.GraphModule

    def __init__(self, module: nn.Module, graph: fx.Graph) -> None:
        super().__init__()
        self.graph = fx.GraphModule(module, graph)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.cat([part.flatten(1) for part in self.graph(images)], dim=1)

    def digest(self) -> str:
        """Of all that the features of an image depend on, but for the image: the code, the layers and their tensors."""
        total = sha256(self.graph.graph.python_code("self").src.encode())
        for name, layer in self.graph.named_children():
            total.update(f"{name}: {layer!r} {[_settings(part) for part in layer.modules()]}\n".encode())
        for name, tensor in (*sorted(self.graph.named_parameters()), *sorted(self.graph.named_buffers())):
            plain = tensor.detach().cpu().contiguous()
            total.update(f"{name} {plain.dtype} {tuple(plain.shape)}\n".encode())
            total.update(plain.flatten().view(torch.uint8).numpy().tobytes())
        return total.hexdigest()


class Tail(nn.Module):
    """What trains, and what comes after that. No layer is its own: they are the module's, and so is the mode."""

    module: nn.Module
    graphs: dict[bool, fx.GraphModule]

    def __init__(self, module: nn.Module, graphs: dict[bool, fx.Graph], shapes: tuple[tuple[int, ...], ...]) -> None:
        super().__init__()
        object.__setattr__(self, "module", module)
        object.__setattr__(self, "graphs", {training: fx.GraphModule(module, graph) for training, graph in graphs.items()})
        self.shapes = shapes

    def train(self, mode: bool = True) -> Tail:
        self.module.train(mode)
        return self

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        parts = torch.split(features, [math.prod(shape) for shape in self.shapes], dim=1)
        shaped = [part.reshape(-1, *shape) for part, shape in zip(parts, self.shapes, strict=True)]
        logits: torch.Tensor = self.graphs[self.module.training](*shaped)
        return logits


def cut_network(network: Network, frozen: Frozen, channels: int, size: Size) -> Cut:
    """Where the network is cut in two, so that nothing in the trunk trains or draws at random. Raises NotCut.

    The model's code is traced (torch.fx) as far as it mixes what trains and what does not; all else is called as it is.
    What comes out is compared with the whole model. The network itself is not changed.
    """
    module = network.module
    if isinstance(module, Joined):
        raise NotCut("metadata columns are joined to the model's features")
    modes = {part: part.training for part in module.modules()}
    wanted = {parameter: parameter.requires_grad for parameter in module.parameters()}
    try:
        traced = {}
        for training in (True, False):
            module.train(training)
            for name in frozen.modules:
                module.get_submodule(name).eval()
            traced[training] = _trace(network, frozen)
        if [_describe(node) for node in traced[True].boundary] != [_describe(node) for node in traced[False].boundary]:
            raise NotCut("its code goes another way in training")
        module.eval().requires_grad_(False)
        trunk = Trunk(module, _trunk_graph(traced[False]))
        images = torch.rand(3, channels, *size, generator=torch.Generator().manual_seed(0))
        images = images.to(next(module.parameters()).device)
        shapes = _shapes(trunk, images)
        tails = {training: _tail_graph(each) for training, each in traced.items()}
        cut = Cut(shapes, _share(module, trunk, images[:1]), trunk.graph.graph, tails)
        with torch.no_grad():
            whole, parts = module(images), cut.tail_of(module)(trunk(images))
        if not torch.allclose(whole, parts, rtol=TOLERANCE, atol=TOLERANCE):
            raise NotCut("its two parts do not give what the whole does")
        return cut
    except NotCut:
        raise
    except TraceError:
        raise NotCut("its code decides by its input which way it goes, and cannot be followed") from None
    except Exception as error:  # whatever tracing stumbles over in a model's code
        raise NotCut(f"its code cannot be followed ({' '.join(str(error).split())[:120]})") from None
    finally:
        for part, mode in modes.items():
            part.training = mode
        for parameter, requires_grad in wanted.items():
            parameter.requires_grad_(requires_grad)


@dataclass(frozen=True)
class _Traced:
    """A graph of the model's code, its nodes that are the tail's, and the trunk's nodes that the tail asks for."""

    graph: fx.Graph
    tail: set[fx.Node]
    boundary: tuple[fx.Node, ...]


class _Tracer(fx.Tracer):
    """Follows the code of modules that hold what trains and what does not, and of those around the head; others are leaves."""

    def __init__(self, frozen: frozenset[str], head: Sequence[str]) -> None:
        super().__init__(autowrap_modules=())
        self.frozen, self.head = frozen, head

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        inside = {name in self.frozen for name, _ in m.named_parameters(prefix=module_qualified_name)}
        around = any(name.startswith(f"{module_qualified_name}.") for name in self.head)
        return len(inside) < 2 and not around


def _trace(network: Network, frozen: Frozen) -> _Traced:
    _, *others = signature(network.module.forward).parameters.values()
    defaults = {each.name: each.default for each in others}  # a mask, and the like
    graph = _Tracer(frozen.parameters, network.head).trace(network.module, concrete_args=defaults)
    tail: set[fx.Node] = set()
    for node in graph.nodes:
        if (
            _trains(node, network.module, frozen)
            or _is_random(node, network.module, frozen)
            or any(each in tail for each in node.all_input_nodes)
        ):
            tail.add(node)
    used = [node for node in graph.nodes if node not in tail and any(user in tail for user in node.users)]
    if not used or any(node.op == "placeholder" for node in used):
        raise NotCut("what trains begins at the images")
    return _Traced(graph, tail, tuple(used))


def _trains(node: fx.Node, module: nn.Module, frozen: Frozen) -> bool:
    name = str(node.target)
    if node.op == "call_module":
        return any(each not in frozen.parameters for each, _ in module.get_submodule(name).named_parameters(prefix=name))
    return node.op == "get_attr" and name in dict(module.named_parameters()) and name not in frozen.parameters


def _is_random(node: fx.Node, module: nn.Module, frozen: Frozen) -> bool:
    """Whether anything in it is another in training: dropout and BatchNorm, but for those that are kept in eval."""
    name = str(node.target)
    if node.op == "call_module":
        parts = module.get_submodule(name).named_modules(prefix=name)
        return any(_differs_in_training(part) for inner, part in parts if inner not in frozen.modules)
    return node.op == "call_function" and node.target in (functional.dropout, torch.dropout)


def _differs_in_training(layer: Any) -> bool:
    return isinstance(layer, _BatchNorm) or bool(getattr(layer, "p", 0) or getattr(layer, "drop_prob", 0))


def _trunk_graph(traced: _Traced) -> fx.Graph:
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in _needed(traced.boundary):
        copies[node] = graph.node_copy(node, lambda each: copies[each])
    graph.output(tuple(copies[node] for node in traced.boundary))
    return graph


def _needed(nodes: Sequence[fx.Node]) -> Iterator[fx.Node]:
    """These nodes and all that they come from, in the order of their graph; the images always."""
    wanted, left = set(nodes), list(nodes)
    while left:
        for each in left.pop().all_input_nodes:
            if each not in wanted:
                wanted.add(each)
                left.append(each)
    yield from (node for node in nodes[0].graph.nodes if node in wanted or node.op == "placeholder")


def _tail_graph(traced: _Traced) -> fx.Graph:
    graph = fx.Graph()
    copies = {node: graph.placeholder(f"features_{number}") for number, node in enumerate(traced.boundary)}
    (output,) = (node for node in traced.graph.nodes if node.op == "output")
    for node in _needed((output,)):
        if node in traced.tail:
            copies[node] = graph.node_copy(node, lambda each: copies[each])
    return graph


def _shapes(trunk: Trunk, images: torch.Tensor) -> tuple[tuple[int, ...], ...]:
    """Of one image's features. Raises NotCut where they are not tensors with a row an image."""
    with torch.no_grad():
        several, one = trunk.graph(images), trunk.graph(images[:1])
    for more, single in zip(several, one, strict=True):
        if not (isinstance(more, torch.Tensor) and more.is_floating_point() and more.shape == (len(images), *single.shape[1:])):
            raise NotCut("there is more than a row of numbers an image at that place")
        if float((more[:1] - single).abs().max()) > MIXED * float(single.abs().max()):
            raise NotCut("an image's features depend on the other images of its batch")
    return tuple(tuple(each.shape[1:]) for each in one)


def _share(module: nn.Module, trunk: nn.Module, image: torch.Tensor) -> float:
    counts = []
    for part in (trunk, module):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            part(image)
        counts.append(counter.get_total_flops())
    return float(counts[0] / max(1, counts[1]))


def _settings(layer: nn.Module) -> dict[str, Any]:
    """What it computes with besides its tensors; not all of it is printed, such as how many heads attention has."""
    kinds = (bool, int, float, str)
    found = {key: value if isinstance(value, tuple) else (value,) for key, value in vars(layer).items() if key != "training"}
    return {key: value for key, value in sorted(found.items()) if all(isinstance(each, kinds) for each in value)}


def _describe(node: fx.Node) -> tuple[str, str]:
    return node.op, str(node.target)
