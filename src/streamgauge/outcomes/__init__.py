"""Observations and labels: which moments are learned from, what became of them, and what is closed when."""
