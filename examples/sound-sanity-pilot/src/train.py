"""Nothing is trained in this task: the methods vote among stored examples (see src/inference.py).

The file is kept because the protocol lists it.
"""
