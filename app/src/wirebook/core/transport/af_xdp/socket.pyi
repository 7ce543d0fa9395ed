class XskSocket:
    fd: int
    interface: str
    queue_id: int
    zero_copy: bool
    pages: str
    def __init__(
        self,
        interface: str,
        queue: int,
        sends: bool = False,
        copy: str = "auto",
        hugepages: str = "auto",
    ) -> None: ...
    def statistics(self) -> dict[str, int]: ...
    def close(self) -> None: ...
