"""How a model learns: optimiser, schedule, an epoch, a fold. Knows nothing of other folds."""
