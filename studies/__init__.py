"""Measurements behind docs/results: the papers' claims on our models, as pages that a command writes again."""
