"""The tap's reader against a writer in the same process is in the integration tests; here is what no network shows."""

from pathlib import Path

import pytest

from wirebook.core.transport.af_xdp.tap import Tap, TapReader
from wirebook.errors import UserError


def test_a_reader_that_is_gone_is_noticed_and_the_file_goes_with_the_writer(tmp_path: Path) -> None:
    path = tmp_path / "tap"
    tap = Tap(path)
    assert path.stat().st_mode & 0o777 == 0o660
    reader = TapReader(path)
    assert reader.read() == []
    assert reader.lost == 0
    reader.close()
    tap.check()
    tap.close()
    with pytest.raises(UserError, match="is the book process running"):
        TapReader(path)


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tap"
    path.write_bytes(bytes(100))
    with pytest.raises(UserError, match="restart the book process"):
        TapReader(path)
