"""What the other rooms stand on: hints, atomics, clocks, memory, the ring. Nothing here knows of markets."""
