"""What each command of `wirebook` does: a module for each, loaded when it is asked for."""
