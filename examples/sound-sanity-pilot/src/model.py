"""No model is needed in this task: similarity and vote are plain functions in src/inference.py.

The file is kept because the protocol lists it.
"""
