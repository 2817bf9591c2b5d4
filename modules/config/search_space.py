"""Which options trials may differ in."""

from __future__ import annotations

from modules.config.schema import Option

LOOKS = ("image_size", "resize", "channels", "mean", "std", "cache_margin")  # of [data]: how a sample is seen


def why_not_searched(option: Option) -> str | None:
    """Why trials cannot differ in this option; None where they can."""
    key = f"{option.section}.{option.name}"
    if option.section == "split":
        return "all trials have the same folds"
    if key == "settings.seed":
        return "the folds follow from it, and all trials have the same"
    if key == "hyper_params.metric":
        return "trials are compared by it"
    if option.section == "data" and option.name not in LOOKS:
        return "all trials have the same samples"
    if option.section == "compute":
        return "a trial is trained by one process"
    if key == "settings.debug" or not option.learnt:
        return "what a model learns does not depend on it"
    return None
