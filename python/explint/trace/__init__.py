"""What a package's entry points do, without running them, and what of it happens in a run."""
