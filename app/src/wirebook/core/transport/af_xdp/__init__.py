"""AF_XDP: packets between the driver and this process's memory, past the kernel's network stack."""
