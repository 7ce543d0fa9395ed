"""The options of ptp4l's section [global] (ptp4l(8) of linuxptp 4), and the addresses of its transports."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

from .names import nearest

_OPTIONS_TEXT = """
    announceReceiptTimeout asCapable assume_two_step boundary_clock_jbod BMCA check_fup_sync clientOnly
    clockAccuracy clockClass clockIdentity clock_class_threshold clock_servo clock_type dataset_comparison
    delayAsymmetry delay_filter delay_filter_length delay_mechanism delay_response_timeout dscp_event
    dscp_general egressLatency fault_badpeernet_interval fault_reset_interval first_step_threshold
    follow_up_info free_running freq_est_interval gmCapable hwts_filter hybrid_e2e ignore_source_id
    ignore_transport_specific ingressLatency inhibit_announce inhibit_delay_req inhibit_multicast_service
    initial_delay interface_rate_tlv kernel_leap logAnnounceInterval logMinDelayReqInterval
    logMinPdelayReqInterval logSyncInterval logging_level manufacturerIdentity masterOnly max_frequency
    maxStepsRemoved message_tag min_neighbor_prop_delay msg_interval_request neighborPropDelayThresh
    net_sync_monitor ntpshm_segment offsetScaledLogVariance operLogPdelayReqInterval operLogSyncInterval
    p2p_dst_mac path_trace_enabled pi_integral_const pi_integral_exponent pi_integral_norm_max pi_integral_scale
    pi_proportional_const pi_proportional_exponent pi_proportional_norm_max pi_proportional_scale power_profile
    priority1 priority2 productDescription ptp_dst_mac ptp_minor_version refclock_sock_address revisionData
    sanity_freq_limit servo_num_offset_values servo_offset_threshold serverOnly slaveOnly slave_event_monitor
    socket_priority spp step_threshold step_window summary_interval syncReceiptTimeout tc_spanning_tree
    timeSource time_stamping transportSpecific tsproc_mode twoStepFlag tx_timestamp_timeout udp6_scope udp_ttl
    uds_address uds_file_mode uds_ro_address uds_ro_file_mode unicast_listen unicast_req_duration use_syslog
    userDescription utc_offset verbose write_phase_mode
"""
_OPTIONS = frozenset(_OPTIONS_TEXT.split())
_OWN = {"domainNumber": "clock_ptp_domain", "network_transport": "clock_ptp_transport"}


def fault(name: str) -> str:
    """Return what is wrong of an option, or ""; a newer ptp4l may have others: only a mistyped one is refused."""
    if name in _OWN:
        return f"{_OWN[name]} sets it: write the value there."
    if name in _OPTIONS:
        return ""
    near = nearest(name, _OPTIONS, 0.8) or next((one for one in _OPTIONS if one.lower() == name.lower()), "")
    return f"ptp4l has no option {name}: write {near}." if near else ""


def _is(kind: Callable[[str], object]) -> Callable[[str], bool]:
    def test(text: str) -> bool:
        try:
            kind(text)
        except ValueError:
            return False
        return True

    return test


ADDRESSES: dict[str, tuple[str, Callable[[str], bool]]] = {
    "L2": ("a MAC address", lambda text: re.fullmatch(r"([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}", text) is not None),
    "UDPv4": ("an IPv4 address", _is(IPv4Address)),
    "UDPv6": ("an IPv6 address", _is(IPv6Address)),
}
