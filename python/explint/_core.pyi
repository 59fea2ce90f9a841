from collections.abc import Sequence
from typing import Final, final

__all__ = ["FACTS_VERSION", "TRACE_VERSION", "Scanner", "rules", "syntax_verdict"]

FACTS_VERSION: Final[int]
TRACE_VERSION: Final[int]

def rules() -> bytes: ...
def syntax_verdict(source: bytes, minor: int) -> tuple[str, int, int, int, int, str]: ...

@final
class Scanner:
    def __new__(cls, threads: int = 0) -> Scanner: ...
    def scan(
        self,
        packages: Sequence[
            tuple[
                Sequence[tuple[str, str, bytes | None, str | None, str | None, bool]],
                bytes,
                int,
                bool,
                bool,
            ]
        ],
    ) -> list[bytes]: ...
    def trace(self, files: Sequence[tuple[str, bytes]], entries: Sequence[str]) -> bytes: ...
