"""Bytes to objects and back: model files, checkpoints of other programs, the registry of models."""
