"""The simulated venue's certificate: a given one, or one that is made at the start and forgotten at the end."""

from __future__ import annotations

import ssl
import subprocess
from ipaddress import ip_address
from pathlib import Path

from wirebook.errors import UserError


def make_certificate(host: str, directory: Path) -> tuple[Path, Path]:
    """A certificate for `host` and this machine, signed by itself, and its key. Raises UserError.

    By the `openssl` command, which Debian's ca-certificates brings along: making one in Python would need a package
    on every host for the sake of a simulation.
    """
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    names = ["DNS:localhost", "IP:127.0.0.1", "IP:::1"]
    if (name := _alternative_name(host)) not in names:
        names.append(name)
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "30",
        "-subj", "/CN=wirebook sim", "-addext", f"subjectAltName={','.join(names)}",
        # it is its own authority, and says so as RFC 5280 wants it: Python 3.13 looks
        "-addext", "keyUsage=critical,digitalSignature,keyCertSign",
        "-keyout", str(key), "-out", str(certificate),
    ]  # fmt: skip
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise UserError(
            "there is no openssl command to make a certificate with; install openssl or give --cert and --key"
        ) from error
    except subprocess.CalledProcessError as error:
        raise UserError(f"openssl makes no certificate ({error.stderr.strip()}); give --cert and --key") from error
    return certificate, key


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return a context that presents `certificate`. Raises UserError for files that can't be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        raise UserError(f"{certificate} and {key} are not a certificate and its key in PEM form: {error}") from error
    except OSError as error:
        raise UserError(f"can't read {certificate} and {key}: {error.strerror}; check --cert and --key") from error
    return context


def _alternative_name(host: str) -> str:
    try:
        return f"IP:{ip_address(host)}"
    except ValueError:
        return f"DNS:{host}"
