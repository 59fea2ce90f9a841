from collections.abc import Sequence
from typing import Final, TypeAlias, final

__all__ = ["FACTS_VERSION", "TRACE_VERSION", "Scanner", "rules", "syntax_verdict"]

FACTS_VERSION: Final[int]
TRACE_VERSION: Final[int]

def rules() -> bytes: ...
def syntax_verdict(source: bytes, minor: int) -> tuple[str, int, int, int, int, str]: ...

_File: TypeAlias = tuple[str, str, bytes | None, str | None, str | None, bool]
_Package: TypeAlias = tuple[Sequence[_File], bytes, int, bool, bool, Sequence[str]]

@final
class Scanner:
    def __new__(cls, threads: int = 0) -> Scanner: ...
    def scan(self, packages: Sequence[_Package]) -> list[tuple[bytes, bytes | None]]: ...
    def trace(self, package: _Package) -> bytes: ...
