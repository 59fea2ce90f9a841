"""LLM verdicts: read, compared with the code, confirmed or refuted."""
