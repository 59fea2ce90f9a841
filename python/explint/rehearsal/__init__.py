"""Rehearsing evaluation: a W&B server of our own, and what evaluation makes of the runs in it."""
