"""Images that cannot be read: refused, or where [data] bad_images says so left out."""

from __future__ import annotations

import numpy as np

from modules.config.errors import DataError, counted, shorten
from modules.data.images import refuse_images
from modules.data.samples import Samples
from modules.data.task import absent_classes
from modules.jobs.remarks import say


def refuse_bad_images(samples: Samples) -> None:
    """Raises DataError that names the images whose header cannot be read."""
    refuse_images([problem for problem in samples.images.header_faults() if problem])


def without_bad_images(samples: Samples) -> Samples:
    """The samples whose images can be decoded; the others are named. Raises DataError where a class is lost with them."""
    problems = samples.images.pixel_faults()
    found = [problem for problem in problems if problem]
    if found:
        say(f"warning: {counted(len(found), 'training image is', 'training images are')} left out as unreadable:", *found)
    kept = samples.take(np.array([row for row, problem in enumerate(problems) if not problem], dtype=np.int64))
    assert kept.targets is not None
    lost = absent_classes(samples.task, kept.targets)
    if lost:
        raise DataError(f"no image of class {shorten(lost)} can be read")
    return kept
