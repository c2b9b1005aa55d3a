"""Training runs: where recipes, files and the training loop meet."""
