"""Benchmarks of chainrule; `python -m bench --help` from the repository root."""
