"""The market cache in shared memory: its layout, its writer, its readers."""
