"""Contests in small: their layouts, the form of their submissions, and how docs/contests.md enters them."""
