"""Programmes that break things on purpose, a short form of each as a test; docs/reliability.md has what the long forms found."""
