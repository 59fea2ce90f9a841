"""What a misspelt word was probably meant to be."""

from __future__ import annotations

from collections.abc import Iterable


def near_miss(word: str, choices: Iterable[str]) -> str | None:
    """The choice closest to ``word``, or None when nothing is close.

    A rule named without its family (``todo-marker``) is close to the one rule it can mean.
    """
    import difflib

    by_folded = {choice.casefold(): choice for choice in sorted(choices)}
    folded = word.casefold().strip()
    tails = [c for f, c in by_folded.items() if folded and f.rpartition("/")[2] == folded]
    if len(tails) == 1:
        return tails[0]
    # difflib is quadratic in the length: a long word is no misspelling of a short one.
    if len(folded) > 80:
        return None
    close = difflib.get_close_matches(folded, by_folded, n=1, cutoff=0.6)
    return by_folded[close[0]] if close else None


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """``Did you mean `x`?``, or an empty string when nothing is close."""
    found = near_miss(word, choices)
    return f"Did you mean `{found}`?" if found else ""
