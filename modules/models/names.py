"""What a model is called, and what is known of it by its name alone: whose it is, whether it exists, what its weights expect."""

from __future__ import annotations

from modules.config.errors import OptionError, nearest
from modules.config.own_code import FORM, own_code
from modules.config.schema import Model
from modules.models.own_models import check_own_model, takes

HALF = (0.5, 0.5, 0.5)
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
WITH_AUXILIARY = ("googlenet", "inception_v3")  # torchvision's; trained on pixels normalised with HALF


def check_name(model: Model) -> None:
    """Raises OptionError with the three nearest names where the library has no such model; or where code of one's own will not do."""
    if is_own(model):
        check_own_model(model)
        return
    if ":" in model.name:
        raise OptionError("model", "name", f"expected a model of {model.library}, or {FORM} for one of your own, got '{model.name}'")
    names = _timm_names(model.name) if model.library == "timm" else _torchvision_names()
    if model.name not in names:
        close = nearest(model.name, names, 3)
        advice = f"the nearest are {', '.join(close)}" if close else f"{model.library} has {len(names)} models, none of a name like it"
        raise OptionError("model", "name", f"{model.library} has no classification model '{model.name}'; {advice}")


def is_own(model: Model) -> bool:
    """Whether it is code of one's own; `library` means nothing then."""
    return own_code(model.name) is not None


def full_name(model: Model) -> str:
    """As it is told: with its library, where it is of one."""
    return model.name if is_own(model) else f"{model.library} {model.name}"


def brings_weights(model: Model) -> bool:
    """Whether pretrained = true can mean anything: code of one's own must take the word."""
    return not is_own(model) or "pretrained" in takes(model)


def normalisation(model: Model, pretrained: bool | str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation, a channel, that the model's pretrained weights expect; .5 where there are none.

    Of a model of one's own ImageNet's: it cannot tell.
    """
    if pretrained is False or (model.name in WITH_AUXILIARY and model.library == "torchvision"):
        return HALF, HALF
    if model.library == "torchvision" or is_own(model):
        return IMAGENET
    import timm

    cfg = timm.get_pretrained_cfg(model.name)
    return (tuple(cfg.mean), tuple(cfg.std)) if cfg is not None else IMAGENET


def _timm_names(name: str) -> list[str]:
    """timm's architectures, and where a pretrained tag is asked for (`resnet18.a1_in1k`) the tagged names too."""
    import timm

    names: list[str] = timm.list_models()
    return names + timm.list_models(pretrained=True) if "." in name else names


def _torchvision_names() -> list[str]:
    import torchvision

    return list(torchvision.models.list_models(module=torchvision.models))
