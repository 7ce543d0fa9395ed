"""Order books in preallocated memory."""
