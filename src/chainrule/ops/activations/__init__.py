"""Activations: one pair a file."""
