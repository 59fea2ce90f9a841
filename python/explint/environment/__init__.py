"""What `uv run` makes of a package before any of its code runs: pyproject.toml, build, imports."""
