"""What several unit tests need: where things are, files that stand for a host, and how a module or program is run."""
