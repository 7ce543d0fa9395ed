"""The engine beside a bare C program and beside what a user would pick instead; see docs/benchmarks.md."""
