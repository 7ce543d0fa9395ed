"""Whom a feed trusts. Certificates and host names are always verified: there is no option to turn that off."""

from __future__ import annotations

import ssl

from wirebook.errors import UserError


def client_context(ca_file: str) -> ssl.SSLContext:
    """A context that trusts the authorities in the PEM file `ca_file` and no others; if empty, the system's.

    Raises UserError for a file that can't be used.
    """
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except ssl.SSLError as error:
        raise UserError(f"ca_file = {ca_file} holds no certificate in PEM form; name one that does") from error
    except OSError as error:
        raise UserError(f"can't read ca_file = {ca_file}: {error.strerror}; name a file of PEM certificates") from error
