"""From models and images to predictions, scores and a submission. Validation, out-of-fold and test go one way."""
