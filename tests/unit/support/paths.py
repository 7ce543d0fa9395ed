"""Where the checkout's parts are."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
ROLES = ROOT / "roles"
COLLECTIONS = ROOT / ".cache/collections"
# As /usr/local/lib/wirebook on a host: the package wirebook_node is in it.
ON_HOST = ROOT / ".cache/on-host"
