"""What a role has on a host: its files, its values in the running kernel, and the services that run by them."""
