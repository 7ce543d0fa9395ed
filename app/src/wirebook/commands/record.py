"""`wirebook record`: follow a venue only for its raw traffic; nothing is published, nothing pinned or locked."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

from wirebook import config as configuration
from wirebook.config import Config
from wirebook.feed.handler import FeedHandler, follow
from wirebook.feed.publisher import Nowhere
from wirebook.venues import get


def main(options: argparse.Namespace) -> int:
    """Record the venue that the command line names."""
    run(configuration.load(options.config), options.venue, options.directory)
    return 0


def run(config: Config, venue_name: str, directory: Path) -> None:
    """Record a venue's traffic into `directory` until SIGTERM or SIGINT. Raises UserError as `wirebook feed` does."""
    feed = replace(config.feed_for(venue_name), record=str(directory.absolute()))
    follow(FeedHandler(config, feed, get(venue_name), os.sched_getaffinity(0), Nowhere))
