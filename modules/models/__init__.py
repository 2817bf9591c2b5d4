"""Networks: built by name, their head and first layer fitted to the contest, frozen or not. Knows nothing of data."""
