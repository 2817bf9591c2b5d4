"""foldini_tiny: a model of timm's for tests, by the names that its ResNets have, in a fraction of their time.

A step of timm's own test_resnet is 300 calls of torch whatever the images' size; this one has a fifth of them. Nothing that
is computed here matters to a test that only asks for some model that learns.
"""

from __future__ import annotations

from typing import Any

from timm.layers import create_classifier
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.resnet import ResNet
from torch import nn

TINY = "foldini_tiny"
DROPPING = "foldini_tiny_dropping"
WIDTHS = (16, 24, 32, 48, 96)  # the last one is test_resnet's


class Tiny(ResNet):
    """A ResNet without residuals: the stem, and four stages of one convolution."""

    def __init__(self, num_classes: int = 1000, in_chans: int = 3, global_pool: str = "avg", drop_rate: float = 0.0) -> None:
        nn.Module.__init__(self)
        self.num_classes, self.in_chans, self.drop_rate, self.grad_checkpointing = num_classes, in_chans, drop_rate, False
        self.conv1 = nn.Conv2d(in_chans, WIDTHS[0], 3, stride=2, padding=1, bias=False)
        self.bn1, self.act1, self.maxpool = nn.BatchNorm2d(WIDTHS[0]), nn.ReLU(inplace=True), nn.MaxPool2d(2)
        self.layer1 = stage(WIDTHS[0], WIDTHS[1], 1)
        self.layer2 = stage(WIDTHS[1], WIDTHS[2], 2)
        self.layer3 = stage(WIDTHS[2], WIDTHS[3], 2)
        self.layer4 = stage(WIDTHS[3], WIDTHS[4], 2)
        self.num_features = self.head_hidden_size = WIDTHS[4]
        self.global_pool, self.fc = create_classifier(self.num_features, num_classes, pool_type=global_pool)
        self.init_weights()


def stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Dropping(Tiny):
    """With a dropout of its own, as most large models have."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.layer3.append(nn.Dropout(0.2))


CFG = {
    "url": "",
    "num_classes": 1000,
    "input_size": (3, 32, 32),
    "pool_size": (1, 1),
    "mean": (0.5, 0.5, 0.5),
    "std": (0.5, 0.5, 0.5),
    "first_conv": "conv1",
    "classifier": "fc",
}
default_cfgs = generate_default_cfgs({TINY: CFG, DROPPING: CFG})


@register_model
def foldini_tiny(pretrained: bool = False, **arguments: Any) -> nn.Module:
    return build_model_with_cfg(Tiny, TINY, pretrained, **arguments)


@register_model
def foldini_tiny_dropping(pretrained: bool = False, **arguments: Any) -> nn.Module:
    return build_model_with_cfg(Dropping, DROPPING, pretrained, **arguments)
