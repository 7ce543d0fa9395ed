"""Fuzzing of what reads the network: packets by both transports, the books behind, the JSON scanners: `make fuzz`."""
