"""From a contest's files to batches: samples, folds, pixels, augmentation, loaders. Knows nothing of models."""
