"""`look.py model`: the configured model layer by layer, by torchinfo, and in a line what it is made of."""

from __future__ import annotations

from torch import nn
from torchinfo import summary

from modules.config.schema import Config
from modules.config.values import format_value
from modules.models.build import Network
from modules.models.metadata import metadata_width
from modules.models.names import full_name

COLUMNS = ("input_size", "output_size", "num_params", "mult_adds", "trainable")
DEPTH = 2  # levels of modules that fit a terminal
WIDTH = 18


def describe_model(network: Network, config: Config, classes: int, assumed: bool, weights: str) -> list[str]:
    """The table for one image, its totals, and what a batch takes. The network is frozen already as [model] freeze says.

    assumed: whether `classes` is a guess. weights: what training would start from; the table's own are random.
    """
    size, channels = config.data.image_size, config.data.channels
    metadata = metadata_width(network.module)
    inputs = [(1, channels, *size), (1, metadata)] if metadata else (1, channels, *size)
    table = summary(network.module, inputs, depth=DEPTH, col_names=COLUMNS, col_width=WIDTH, verbose=0, row_settings=("var_names",))
    total, trained = _count(network.module)
    batch = config.hyper_params.batch_size
    activations = (table.total_input + table.total_output_bytes) * batch / 1e6
    state = (total + 3 * trained) * 4 / 1e6
    guess = " (assumed: the data cannot be read)" if assumed else ""
    later = f"; later unfreeze = {format_value(config.model.unfreeze)}" if config.model.unfreeze is not None else ""
    frozen = f"{total - trained:,} are frozen (freeze = {format_value(config.model.freeze).strip()}{later})"
    return [
        *str(table).partition("Total params")[0].splitlines(),
        f"model     {full_name(config.model)}, {channels} x {size.height} x {size.width}, {classes} classes{guess}",
        f"weights   {weights}",
        f"head      {', '.join(network.head)}{f', with {metadata} numbers of metadata' if metadata else ''}",
        f"trains    {trained:,} of {total:,} parameters, {frozen}",
        f"mult-adds {table.total_mult_adds:,} an image; attention's products are not counted",
        f"memory    about {activations:,.0f} MB for activations, forward and back, of a batch of {batch}; {state:,.0f} MB for weights,"
        " gradients and an optimiser with two averages; all in 32 bits",
    ]


def _count(module: nn.Module) -> tuple[int, int]:
    parameters = list(module.parameters())
    return sum(each.numel() for each in parameters), sum(each.numel() for each in parameters if each.requires_grad)
