"""`wirebook feed`: the feed handler's process, with its CPU and locked memory."""

from __future__ import annotations

import argparse
import logging
import os

from wirebook import config as configuration
from wirebook import transports
from wirebook.config import Config
from wirebook.core.base import cpu
from wirebook.core.base.memory import lock_memory
from wirebook.feed.handler import FeedHandler, follow
from wirebook.venues import get

_log = logging.getLogger(__name__)


def main(options: argparse.Namespace) -> int:
    """Follow the venue that the command line names."""
    run(configuration.load(options.config), options.venue)
    return 0


def run(config: Config, venue_name: str) -> None:
    """Follow a venue until SIGTERM or SIGINT. Raises UserError if the configuration or the host lacks something."""
    feed = config.feed_for(venue_name)
    cpus = os.sched_getaffinity(0)
    if feed.cpu >= 0:
        cpu.pin(feed.cpu, f"the cpu of [[feed]] {venue_name}")
        _log.info("%s: pinned to CPU %d", venue_name, feed.cpu)
    if config.memory.lock:
        lock_memory()
    follow(FeedHandler(config, feed, get(venue_name), cpus, transports.sender))
