"""Numerical studies of published experiments: task, models, baselines and measures."""
