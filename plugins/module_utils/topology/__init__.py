"""The model of a host: what its inventory asks, checked against what the host is, and everything derived from it."""
