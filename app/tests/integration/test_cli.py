"""The command line: a user's mistake is one sentence and exit 2, never a traceback."""

import gzip
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from wirebook import __version__
from wirebook.core.market.view import MarketView

from .support import PATIENCE, WIREBOOK, Sim, refused, until, wirebook


def engine(tmp_path: Path, text: str = "") -> str:
    path = tmp_path / "engine.toml"
    path.write_text(f'[memory]\nlock = false\n[market]\npath = "{tmp_path}/market"\n' + text)
    return str(path)


COMMANDS: list[tuple[str, ...]] = [("feed", "binance"), ("book",), ("top", "--once"), ("check",)]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_malformed_configuration(tmp_path: Path, command: tuple[str, ...]) -> None:
    path = tmp_path / "engine.toml"
    path.write_text("[book]\npoll = 'never'\n")
    assert refused(*command, "--config", str(path)) == (
        f'{path}: book.poll = "never" is not allowed; it must be one of busy, wait'
    )
    path.write_text("[book\n")
    assert "is not valid TOML" in refused(*command, "--config", str(path))
    assert "No such file" in refused(*command, "--config", str(tmp_path / "absent"))


def test_a_truncated_capture(tmp_path: Path) -> None:
    path = tmp_path / "capture.gz"
    line = b'1 {"e":"depthUpdate","E":1,"s":"X","U":%d,"u":%d,"b":[],"a":[]}\n'
    path.write_bytes(gzip.compress(b"".join(line % (n, n) for n in range(1000)))[:-100])
    for command in (("replay", str(path)), ("replay", str(path), "--json"), ("sim", "--replay", str(path))):
        assert "it is truncated" in refused(*command)


def test_a_capture_without_what_a_simulation_needs(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    path.write_bytes(b'1 {"e":"depthUpdate","E":1,"s":"X","U":1,"u":1,"b":[],"a":[]}\n')
    assert "has no REST snapshot of X" in refused("sim", "--replay", str(path))


def test_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert refused("sim", "--synthetic", "--port", str(port)) == (
            f"the address 127.0.0.1:{port} is in use; name another port with --port, or 0 for any"
        )


def test_an_address_that_is_not_ours() -> None:
    assert "can't listen on 192.0.2.1:0" in refused("sim", "--synthetic", "--host", "192.0.2.1")
    assert "can't listen on nowhere.invalid:0" in refused("sim", "--synthetic", "--host", "nowhere.invalid")


def test_an_unknown_venue(tmp_path: Path) -> None:
    assert "it knows binance" in refused("replay", "x", "--venue", "nasdaq")
    assert "it knows binance" in refused("sim", "--synthetic", "--venue", "nasdaq")
    assert 'has no [[feed]] with venue = "binance"' in refused("feed", "binance", "--config", engine(tmp_path))


def test_a_cpu_that_is_not_there(tmp_path: Path) -> None:
    feed = '[[feed]]\nvenue = "binance"\ncpu = 4000\nsymbols = [{ id = 1, instrument = "X" }]\n'
    assert "4000" in refused("feed", "binance", "--config", engine(tmp_path, feed))


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("fly",),
        ("sim",),
        ("sim", "--synthetic", "--replay", "x"),
        ("sim", "--synthetic", "--speed", "0"),
        ("sim", "--synthetic", "--speed", "fast"),
        ("sim", "--synthetic", "--rate", "nan"),
        ("sim", "--synthetic", "--symbols", "2049"),
        ("sim", "--synthetic", "--port", "65536"),
        ("demo", "--seconds", "0"),
    ],
)
def test_what_can_not_be_said(arguments: tuple[str, ...]) -> None:
    done = wirebook(*arguments)
    assert done.returncode == 2
    assert "usage: wirebook" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_and_version() -> None:
    assert wirebook("--version").stdout == f"wirebook {__version__}\n"
    for command in ("feed", "record", "book", "sim", "top", "replay", "check", "demo"):
        done = wirebook(command, "--help")
        assert done.returncode == 0
        assert f"usage: wirebook {command}" in done.stdout


def test_replay_prints_one_json_object(spot_capture: Path) -> None:
    done = wirebook("replay", str(spot_capture), "--venue", "binance", "--json")
    report = json.loads(done.stdout)
    assert list(report) == [
        "messages",
        "malformed",
        "updates",
        "snapshots",
        "gaps",
        "resyncs",
        "checksum_ok",
        "checksum_bad",
        "bbo_equal",
        "bbo_differ",
        "out_of_span",
        "crossed",
        "deletes_of_absent",
    ]
    assert (report["bbo_equal"], report["bbo_differ"], report["gaps"]) == (564, 0, 0)
    table = wirebook("replay", str(spot_capture)).stdout
    assert "bbo equal" in table
    assert "564" in table


def test_check_says_what_fails(tmp_path: Path) -> None:
    good = engine(tmp_path, "[transport]\nreceive_buffer = 4096\n")
    done = wirebook("check", "--config", good)
    assert done.returncode == 0, done.stdout
    assert "NOT-RUN  memory.lock" in done.stdout
    bad = engine(tmp_path, '[transport]\ninterface = "nope0"\n[book]\ncpu = 4000\n')
    done = wirebook("check", "--json", "--config", bad)
    assert done.returncode == 1
    failed = {result["name"]: result["text"] for result in json.loads(done.stdout) if result["verdict"] == "FAIL"}
    assert failed["book.cpu"] == "this host has no CPU 4000 online"
    assert "there is no nope0" in failed["transport.interface"]


@pytest.mark.parametrize(("venue", "megabytes"), [("binance", 64 + 64), ("bybit-linear", 64 + 24)])
def test_check_counts_what_a_planned_reconnect_locks(tmp_path: Path, venue: str, megabytes: int) -> None:
    """Binance cuts a connection after a day, so its books are locked twice; Bybit doesn't."""
    symbols = ", ".join(f'{{ id = {number}, instrument = "S{number}" }}' for number in range(100))
    path = tmp_path / "engine.toml"
    path.write_text(f'[memory]\narena_mb = 64\nhugepages = "off"\n[[feed]]\nvenue = "{venue}"\nsymbols = [{symbols}]\n')
    limited = ["prlimit", "--memlock=1048576"]
    if os.geteuid() == 0:  # for root's CAP_IPC_LOCK there is no limit
        limited += ["setpriv", "--bounding-set", "-ipc_lock"]
    command = [*limited, *WIREBOOK, "check", "--json", "--config", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 1, done
    texts = {result["name"]: result["text"] for result in json.loads(done.stdout)}
    needed = (megabytes + 128) * 1024
    assert texts["memory.lock"] == f"the memlock limit is 1024 kB, about {needed} kB are needed: raise LimitMEMLOCK"


@pytest.fixture
def sixteen_hugepages() -> Iterator[None]:
    """Have the machine reserve the pages of an arena of 32 MB beside those that it has, and none more."""
    path = Path("/proc/sys/vm/nr_hugepages")
    free = int(Path("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages").read_text())
    before = int(path.read_text())
    try:
        path.write_text(str(before - free + 16))
    except OSError:
        pytest.skip("only root of the machine reserves hugepages")
    if int(path.read_text()) != before - free + 16:
        path.write_text(str(before))
        pytest.skip("the machine has no 32 MB in one piece")
    yield
    path.write_text(str(before))


@pytest.mark.usefixtures("sixteen_hugepages")
def test_check_counts_the_hugepages_that_the_running_book_gives_back(tmp_path: Path) -> None:
    """Else no host whose books have all its pages could be deployed to again."""
    path = tmp_path / "engine.toml"
    path.write_text(
        f'[memory]\nlock = false\nhugepages = "explicit"\narena_mb = 32\n[market]\npath = "{tmp_path}/market"\n'
        '[book]\nsymbols = 64\npoll = "wait"\n[transport]\nreceive_buffer = 4096\nport = 27431\n'
    )

    def verdict() -> tuple[str, str]:
        results = json.loads(wirebook("check", "--json", "--config", str(path)).stdout)
        return next((r["verdict"], r["text"]) for r in results if r["name"] == "memory.hugepages")

    assert verdict() == ("PASS", "16 free hugepages of 2 MB, 16 needed")
    with subprocess.Popen([*WIREBOOK, "book", "--config", str(path)], stderr=subprocess.PIPE) as book:
        until(lambda: Path(f"{tmp_path}/market").exists() and MarketView(f"{tmp_path}/market").alive, "the book runs")
        assert verdict() == (
            "PASS",
            "0 free hugepages of 2 MB and 16 that the running book gives back, 16 needed",
        )
        book.terminate()
    path.write_text(path.read_text().replace("= 32", "= 64"))
    assert verdict()[0] == "FAIL"


def test_check_judges_the_receive_buffer_of_each_feed(tmp_path: Path) -> None:
    feed = '[[feed]]\nvenue = "okx"\nreceive_buffer = 4096\nsymbols = [{ id = 1, instrument = "X" }]\n'
    done = wirebook("check", "--json", "--config", engine(tmp_path, feed))
    verdicts = {result["name"]: result["verdict"] for result in json.loads(done.stdout)}
    assert verdicts["feed okx receive_buffer"] == "PASS"


def test_check_refuses_an_instrument_that_the_venue_does_not_have(tmp_path: Path) -> None:
    with Sim("--synthetic") as sim:

        def verdict(*more: str, rest: str = sim.venue["rest"]) -> tuple[int, str, str]:
            feed = f'[[feed]]\nvenue = "binance"\nrest = "{rest}"\nsymbols = ['
            feed += '{ id = 0, instrument = "SYN0USDT" }, { id = 1, instrument = "GONEUSDT" } ]'
            done = wirebook("check", "--json", *more, "--config", engine(tmp_path, feed))
            found = {one["name"]: (one["verdict"], one["text"]) for one in json.loads(done.stdout)}
            return done.returncode, *found.get("feed binance symbols", ("", ""))

        sentence = "binance has no instrument GONEUSDT: take it out of the [[feed]]'s symbols"
        assert verdict() == (1, "FAIL", sentence)
        assert verdict("--offline") == (0, "", "")
        code, word, text = verdict(rest="http://127.0.0.1:9")
        assert (code, word) == (0, "NOT-RUN")
        assert "can't be asked" in text


def test_a_reader_that_leaves_is_no_error() -> None:
    done = subprocess.run(
        ["bash", "-c", f"{' '.join(WIREBOOK)} --help | true; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_simulation_ends_when_told(number: signal.Signals) -> None:
    with Sim("--synthetic") as sim:
        sim.send_signal(number)
        assert sim.exit_code() == 0
