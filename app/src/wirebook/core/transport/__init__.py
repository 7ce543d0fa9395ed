"""Packets in and out: UDP, AF_XDP, and when they came."""
