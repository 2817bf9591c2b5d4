"""From a contest's files to batches: samples, folds, pixels, augmentation, loaders. Knows nothing of models."""

import os

# Here, before any file of this room can import albumentations: it asks the network for its newest version otherwise.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
