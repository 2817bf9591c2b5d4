"""Whole jobs, made of the other rooms: preparing a run, training its folds, predicting with it."""
