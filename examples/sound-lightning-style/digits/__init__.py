"""Handwritten digits with Lightning and Hydra."""
