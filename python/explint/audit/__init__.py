"""Many packages: inputs of every kind, an engine that survives them, a dataset of the results."""
