"""Configuration as Hydra and OmegaConf read it."""
