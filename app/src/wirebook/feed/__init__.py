"""The feed handler: the process that follows one venue and publishes its books."""
