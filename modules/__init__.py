"""Foldini's rooms; docs/architecture.md says what each holds and who may import whom."""
