"""What no host can tell alone: streams, symbol ids and addresses that must differ, or be the same, on one network.

Hosts share a network if one sends to an address that another has: every reader there gets the packets of every feed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from wirebook.config import Config, Transport
from wirebook.config.fields import MAX_STREAMS

from . import engine
from .fleet import Node, is_sealed
from .places import Path

Address = tuple[str, int]
Fault = tuple["Member", Path, str]
# The keys of a channel's address on each line: group, port.
_CHANNELS = {
    "incrementals on line A": ("group", "port"),
    "snapshots on line A": ("snapshot_group", "snapshot_port"),
    "incrementals on line B": ("group_b", "port_b"),
    "snapshots on line B": ("snapshot_group_b", "snapshot_port_b"),
}


@dataclass
class Member:
    """A host on a network, with what its engine will read."""

    node: Node
    config: Config

    @cached_property
    def addresses(self) -> dict[str, Address]:
        """Where it sends and listens, by channel and line."""
        return {what: address for what in _CHANNELS if (address := _address(self.config.transport, what))[0]}

    @property
    def name(self) -> str:
        """The host's name."""
        return self.node.name

    def feeds(self, *, remote: bool) -> list[tuple[int, Mapping[str, Any]]]:
        """Return the feeds that this host runs, or those that another one does, with their places."""
        return [
            (place, feed)
            for place, feed in enumerate(engine.feeds(self.node))
            if bool(feed.get("remote", False)) == remote
        ]


def _address(transport: Transport, what: str) -> Address:
    group, port = (getattr(transport, key) for key in _CHANNELS[what])
    # Without a port of its own line B has line A's.
    line_a = transport.snapshot_port if what.startswith("snapshots") else transport.port
    return group, port or line_a


def faults(nodes: list[Node]) -> Iterator[Fault]:
    """Yield what is wrong between hosts: on which, where, and a sentence."""
    members = [Member(node, config) for node in nodes if (config := engine.built(node)) is not None]
    yield from _machines(members)
    for network in networks(members):
        yield from _roles(network)
        yield from _streams(network)
        yield from _ids(network)
        yield from _remote(network)
        yield from _capacity(network)


def networks(members: list[Member]) -> list[list[Member]]:
    """Return the members that share an address, together; what goes by the loopback stays on its host."""
    found: list[list[Member]] = []
    for member in members:
        if member.config.transport.interface == "lo":
            found.append([member])
            continue
        mine = set(member.addresses.values())
        sharing = [
            one
            for one in found
            if one[0].config.transport.interface != "lo" and any(mine & set(other.addresses.values()) for other in one)
        ]
        found = [one for one in found if one not in sharing] + [[*(other for one in sharing for other in one), member]]
    return found


def _machines(members: list[Member]) -> Iterator[Fault]:
    """Refuse two names for one machine: the second deploy would undo the first."""
    seen: dict[tuple[str, ...], str] = {}
    for member in members:
        raw = member.node.raw
        keys = ("ansible_host", "ansible_port", "ansible_ssh_common_args", "ansible_connection")
        where = tuple("" if is_sealed(raw.get(key)) else str(raw.get(key, "")) for key in keys)
        if where[0] and "{" not in "".join(where):
            if where in seen:
                yield member, ("ansible_host",), f"{where[0]} is {seen[where]}'s address too: give each host its own."
            seen.setdefault(where, member.name)


def _roles(network: list[Member]) -> Iterator[Fault]:
    """Refuse an address that is for one thing here and for another there, and half of a channel in common."""
    used: dict[Address, tuple[str, Member]] = {}
    partners: dict[Address, tuple[Address | None, Member]] = {}
    for member in network:
        crossed = False
        for what, address in member.addresses.items():
            other, whose = used.setdefault(address, (what, member))
            if other != what:
                crossed = True
                yield (
                    member,
                    engine.variable_of(member.node, ("transport", _CHANNELS[what][0])),
                    f"{_written(address)} is for {what} here, and for {other} on {whose.name}: "
                    "give one of them another group or port.",
                )
        for line in ("A", "B"):
            incrementals = member.addresses.get(f"incrementals on line {line}")
            snapshots = member.addresses.get(f"snapshots on line {line}")
            if incrementals is None or crossed:
                continue
            expected, first = partners.setdefault(incrementals, (snapshots, member))
            if snapshots != expected and expected is not None and snapshots is not None:
                yield (
                    member,
                    engine.variable_of(member.node, ("transport", _CHANNELS[f"snapshots on line {line}"][0])),
                    f"{first.name} has the same {_written(incrementals)} for incrementals but {_written(expected)} for "
                    "snapshots: readers would get the one without the other. Write the same, or take another group.",
                )


def _written(address: Address) -> str:
    return f"{address[0]}:{address[1]}"


def _streams(network: list[Member]) -> Iterator[Fault]:
    """Refuse streams that two feeds have, and, where several hosts send, those that are only a place in a list."""
    senders = [member for member in network if member.feeds(remote=False)]
    written = {
        feed["stream"]: (member, place)
        for member in reversed(senders)
        for place, feed in reversed(member.feeds(remote=False))
        if "stream" in feed
    }
    free = (number for number in range(1, 65536) if number not in written)
    for member in senders:
        for place, feed in member.feeds(remote=False):
            path: Path = ("feed_engine_feeds", place)
            if "stream" not in feed:
                if len(senders) > 1:
                    others = [one.name for one in senders if one is not member]
                    named = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
                    yield (
                        member,
                        path,
                        f"the feed {feed['venue']} has no stream: its place in the list would be its number, and "
                        f"{named} may have the same: write stream: {next(free)}.",
                    )
                continue
            other, first = written[feed["stream"]]
            if other is not member:
                venue = other.node.at(("feed_engine_feeds", first, "venue"))
                yield (
                    member,
                    (*path, "stream"),
                    f"{feed['stream']} is the stream of {other.name}'s feed {venue} too, and books would flap between "
                    f"both: write a number of its own, such as {next(free)}.",
                )


def _ids(network: list[Member]) -> Iterator[Fault]:
    """Refuse an id that stands for two instruments, or that two hosts send."""
    ids: dict[int, tuple[str, Member]] = {}
    taken = {symbol["id"] for member in network for _, feed in member.feeds(remote=False) for symbol in feed["symbols"]}
    free = (number for number in range(2048) if number not in taken)
    for member in network:
        for place, feed in member.feeds(remote=False):
            for at, symbol in enumerate(feed["symbols"]):
                name = f"{feed['venue']}:{symbol['instrument']}"
                other, whose = ids.setdefault(symbol["id"], (name, member))
                if whose is member:
                    continue
                path = ("feed_engine_feeds", place, "symbols", at, "id")
                if other == name:
                    sentence = (
                        f"{whose.name} sends {name} by the id {symbol['id']} too: take it out of one of them, "
                        "or have the feed run by one and write remote: true on the other."
                    )
                else:
                    sentence = (
                        f"the id {symbol['id']} of {name} is that of {other} on {whose.name}: "
                        f"write a number of its own, such as {next(free, 'one below 2048')}."
                    )
                yield member, path, sentence


def _capacity(network: list[Member]) -> Iterator[Fault]:
    """Refuse what the engine would: an id that a host's books have no room for, and more streams than it follows."""
    sent = [(member, feed) for member in network for _, feed in member.feeds(remote=False)]
    highest = max(((symbol["id"], one) for one, feed in sent for symbol in feed["symbols"]), default=None, key=_first)
    for member in network:
        room = member.config.book.symbols
        if highest is not None and highest[1] is not member and highest[0] >= room:
            yield (
                member,
                engine.variable_of(member.node, ("book", "symbols")),
                f"{highest[1].name} sends the id {highest[0]}, for which {room} books have no room: "
                f"write {highest[0] + 1} at least, or take lower ids there.",
            )
        if len(sent) > MAX_STREAMS and len(network) > 1 and member is network[0]:
            yield (
                member,
                engine.variable_of(member.node, ("transport", "group")),
                f"{len(sent)} feeds send on this network, and a book process follows {MAX_STREAMS}: "
                "give some of the hosts other groups.",
            )


def _first(pair: tuple[int, Member]) -> int:
    return pair[0]


def _remote(network: list[Member]) -> Iterator[Fault]:
    """Refuse a feed that another host is to run, and none does, or does otherwise."""
    running = defaultdict(list)
    for member in network:
        for _, feed in member.feeds(remote=False):
            running[feed["venue"]].append((member, feed))
    for member in network:
        for place, feed in member.feeds(remote=True):
            path: Path = ("feed_engine_feeds", place)
            there = running[feed["venue"]]
            stream = feed.get("stream")
            streams = {one.get("stream"): (other, one) for other, one in there}
            if not there:
                yield (
                    member,
                    (*path, "remote"),
                    f"no host on {_written(member.addresses['incrementals on line A'])} runs the feed {feed['venue']}, "
                    "which another one is to run: add it there, or take remote out.",
                )
            elif stream not in streams:
                other, one = there[0]
                number = one.get("stream", "the same on both")
                yield (
                    member,
                    (*path, "stream") if stream is not None else path,
                    f"the feed {feed['venue']} runs on {other.name} with another stream: write stream: {number}.",
                )
            else:
                yield from _followed(member, path, feed, *streams[stream])


def _followed(
    member: Member, path: Path, feed: Mapping[str, Any], other: Member, one: Mapping[str, Any]
) -> Iterator[Fault]:
    sent = {symbol["id"]: symbol["instrument"] for symbol in one["symbols"]}
    for at, symbol in enumerate(feed["symbols"]):
        if sent.get(symbol["id"]) != symbol["instrument"]:
            theirs = f"sends {sent[symbol['id']]}" if symbol["id"] in sent else "sends nothing"
            yield (
                member,
                (*path, "symbols", at, "id"),
                f"{other.name}, which runs the feed {feed['venue']}, {theirs} by the id {symbol['id']}: "
                f"write the id that it has for {symbol['instrument']}, or add it there.",
            )
