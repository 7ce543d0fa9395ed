"""GRUB's entries on a host, and the trial boot of a kernel command line."""
