"""What every test may use: the recorded traffic that lies beside the project, where it is there."""

from pathlib import Path

import pytest

CAPTURES = Path(__file__).resolve().parents[3] / "shared" / "captures"


@pytest.fixture(scope="session")
def spot_capture() -> Path:
    """Recorded Binance spot traffic; see ../shared/captures/SOURCES.md."""
    path = CAPTURES / "binance_spot" / "btcusdt.txt.gz"
    if not path.exists():
        pytest.skip("the recorded traffic ../shared/captures is not here")
    return path


@pytest.fixture
def keeps_capabilities(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a feed within this very process, which other tests need with all its rights: it gives none up."""
    monkeypatch.setattr("wirebook.capabilities.drop", lambda *_names: None)
