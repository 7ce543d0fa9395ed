"""The settings of a NIC that there are, by ethtool's names (roles/nic/README.md)."""

from __future__ import annotations

from typing import Any

from .names import instead

_COUNTS = ("rx-ring", "tx-ring", "channels", "rss-queues")
_MICROSECONDS = ("rx-usecs", "tx-usecs")
_SWITCHES = ("adaptive-rx", "adaptive-tx", "rx-pause", "tx-pause", "rx-timestamps")
# What `ethtool -k` of Linux 6.17 lists; no driver has all of them.
_FEATURES_TEXT = """
    rx-checksumming tx-checksumming tx-checksum-ipv4 tx-checksum-ip-generic tx-checksum-ipv6
    tx-checksum-fcoe-crc tx-checksum-sctp scatter-gather tx-scatter-gather tx-scatter-gather-fraglist
    tcp-segmentation-offload tx-tcp-segmentation tx-tcp-ecn-segmentation tx-tcp-mangleid-segmentation
    tx-tcp6-segmentation tx-tcp-accecn-segmentation generic-segmentation-offload generic-receive-offload
    large-receive-offload rx-vlan-offload tx-vlan-offload ntuple-filters receive-hashing highdma rx-vlan-filter
    vlan-challenged tx-gso-robust tx-fcoe-segmentation tx-gre-segmentation tx-gre-csum-segmentation
    tx-ipxip4-segmentation tx-ipxip6-segmentation tx-udp_tnl-segmentation tx-udp_tnl-csum-segmentation
    tx-gso-partial tx-tunnel-remcsum-segmentation tx-sctp-segmentation tx-esp-segmentation tx-udp-segmentation
    tx-gso-list tx-nocache-copy loopback rx-fcs rx-all tx-vlan-stag-hw-insert rx-vlan-stag-hw-parse
    rx-vlan-stag-filter l2-fwd-offload hw-tc-offload esp-hw-offload esp-tx-csum-hw-offload
    rx-udp_tunnel-port-offload tls-hw-tx-offload tls-hw-rx-offload rx-gro-hw tls-hw-record rx-gro-list
    macsec-hw-offload rx-udp-gro-forwarding hsr-tag-ins-offload hsr-tag-rm-offload hsr-fwd-offload
    hsr-dup-offload fcoe-mtu netns-local tx-lockless
"""
_FEATURES = frozenset(_FEATURES_TEXT.split())


def fault(name: str, value: Any) -> str:
    """Return what is wrong of a setting, or ""; what a driver calls its private flags nobody knows."""
    if name.startswith("flag "):
        return "" if isinstance(value, bool) else f"{value} isn't true or false: write one of them."
    known = (*_COUNTS, *_MICROSECONDS, *_SWITCHES, *_FEATURES)
    if name not in known:
        return f"no NIC has a setting {name}: {instead(name, known)}, or flag NAME for a private flag of the driver."
    whole = isinstance(value, int) and not isinstance(value, bool)
    if name in _COUNTS and value != "max" and not (whole and value > 0):
        return f"{_show(value)} isn't a number: write a whole number from 1 on, or max."
    if name in _MICROSECONDS and not (whole and value >= 0):
        return f"{_show(value)} isn't a number of microseconds: write a whole number."
    if name not in (*_COUNTS, *_MICROSECONDS) and not isinstance(value, bool):
        return f"{_show(value)} isn't true or false: write one of them, without quotes."
    return ""


def _show(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else str(value)
