"""Records and packets: docs/wire-format.md in code."""
