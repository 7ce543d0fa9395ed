"""node-doctor: whether a host is what it was asked to be. The format of what it reads is in the role's README."""
