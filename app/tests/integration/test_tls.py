"""TLS is verified always; a venue that proves nothing, or is not found, is told in a sentence and tried again."""

import ssl
import subprocess
from pathlib import Path

import pytest

from wirebook.errors import UserError
from wirebook.feed.tls import client_context

from .support import Sim, node, until, wirebook

TLS = ("--synthetic", "--symbols", "2", "--rate", "100", "--tls")


def test_books_are_live_over_tls(tmp_path: Path) -> None:
    with Sim(*TLS) as sim, node(tmp_path, sim.venue) as under_test:
        assert sim.venue["websocket"].startswith("wss://")
        assert sim.venue["rest"].startswith("https://")
        under_test.start_both()
        under_test.wait_live(2)
        until(lambda: len(under_test.lines()) > 100, "events")


@pytest.mark.parametrize("liar", ["websocket", "rest"])
def test_a_wrong_certificate_is_refused_again_and_again(tmp_path: Path, liar: str) -> None:
    """One service of the venue shows a certificate that nobody vouches for."""
    with Sim(*TLS) as sim, Sim(*TLS) as other:
        venue = {**sim.venue, liar: other.venue[liar]}
        with node(tmp_path, venue) as under_test:
            under_test.start("feed", "binance")
            until(lambda: under_test.log("feed").count(b"its certificate is not valid") >= 2, "two refusals")
            assert under_test.stop("feed") == 0
            assert b"Traceback" not in under_test.log("feed")
            assert b"books live" not in under_test.log("feed")


def test_a_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    """It is vouched for, and not for who answers here."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-subj", "/CN=x",
         "-addext", "subjectAltName=DNS:elsewhere.example", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    with Sim(*TLS, "--cert", str(certificate), "--key", str(key)) as sim, node(tmp_path, sim.venue) as under_test:
        under_test.start("feed", "binance")
        until(lambda: b"its certificate is not valid (IP address mismatch" in under_test.log("feed"), "the refusal")
        assert under_test.stop("feed") == 0


@pytest.mark.parametrize("lost", ["websocket", "rest"])
def test_a_name_that_can_not_be_resolved_is_tried_again(tmp_path: Path, lost: str) -> None:
    with Sim(*TLS) as sim:
        scheme = sim.venue[lost].partition(":")[0]
        with node(tmp_path, {**sim.venue, lost: f"{scheme}://venue.invalid"}) as under_test:
            under_test.start("feed", "binance")
            until(lambda: under_test.log("feed").count(b"its name can't be resolved") >= 2, "two attempts")
            assert under_test.stop("feed") == 0
            assert b"Traceback" not in under_test.log("feed")


def test_verification_can_not_be_turned_off(tmp_path: Path) -> None:
    context = client_context("")
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    (tmp_path / "empty.pem").write_text("nothing\n")
    with pytest.raises(UserError, match="holds no certificate"):
        client_context(str(tmp_path / "empty.pem"))
    with pytest.raises(UserError, match="No such file"):
        client_context(str(tmp_path / "absent.pem"))


def test_a_simulation_says_what_is_wrong_with_its_certificate(tmp_path: Path) -> None:
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("nothing\n")
    for arguments, words in (
        (("--cert", str(nothing)), "belong together"),
        (("--tls", "--cert", str(nothing), "--key", str(nothing)), "not a certificate and its key"),
        (("--tls", "--cert", "absent", "--key", "absent"), "No such file"),
    ):
        done = wirebook("sim", "--synthetic", *arguments)
        assert done.returncode == 2
        assert words in done.stderr
        assert done.stderr.count("\n") == 1
