"""What a jitter measurement finds: read from oslat and cyclictest on the host, plotted on the controller."""
