from typing import Final

VERSION: Final[str]
COMPILER: Final[str]
MARCH: Final[str]
OPTIMIZATION: Final[str]
LTO: Final[bool]
PGO: Final[bool]
AF_XDP: Final[bool]
CPU_FLAGS: Final[frozenset[str]]
