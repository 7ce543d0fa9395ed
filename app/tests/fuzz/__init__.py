"""Fuzzing of what reads the network: packets by both transports, and the JSON scanners. See `make fuzz`."""
