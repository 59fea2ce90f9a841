from collections.abc import Sequence
from typing import Final, final

FACTS_VERSION: Final[int]

def rules() -> bytes: ...
@final
class Scanner:
    def __new__(cls, threads: int = 0) -> Scanner: ...
    def scan(
        self,
        packages: Sequence[
            tuple[
                Sequence[tuple[str, str, bytes | None, str | None, str | None]],
                bytes,
                int,
                bool,
            ]
        ],
    ) -> list[bytes]: ...
