"""What is measured beside what."""

from __future__ import annotations

from dataclasses import dataclass

from bench import builds


@dataclass(frozen=True)
class Benchmark:
    """What is measured: `subjects` by the name they have in the results, on the inputs in the folder `inputs`."""

    name: str
    inputs: str
    figures: tuple[str, ...]
    subjects: dict[str, str]


_BOOKS = {
    "ours": "engine:Books",
    "floor": "c:Tree",
    "sorted_array": "c:Array",
    "order_book": "order_book:Books",
    "nautilus": "nautilus:Books",
}

BENCHMARKS = (
    Benchmark("book_hot", "one", ("ns",), _BOOKS),
    Benchmark("book_2048", "many", ("ns",), _BOOKS),
    Benchmark("book_capture", "capture", ("ns",), _BOOKS),
    Benchmark("packet_to_book_2048", "many", ("ns",), {"ours": "engine:Packets", "sorted_array": "c:Packets"}),
    Benchmark("json_level", "capture", ("ns",), {"ours": "engine:Scan", "orjson_loop": "orjson_loop:Loop"}),
    Benchmark(
        "capture", "capture", ("messages_per_s",), {"ours": "engine:Follower", "cryptofeed": "cryptofeed:Handler"}
    ),
    Benchmark("ring", "one", ("oneway_ns", "ops_per_s"), {"ours": "engine:Hand", "floor": "c:Hand"}),
    Benchmark("udp_oneway", "one", ("p50_ns", "p99_ns"), {"ours": "oneway:Ours", "floor": "oneway:Floor"}),
    Benchmark(
        "af_xdp",
        "one",
        ("ns", "all_ns", "pps"),
        {
            "ours": "af_xdp:Ours",
            "floor": "af_xdp:Floor",
            "ours_unverified": "af_xdp:OursUnverified",
            "floor_unverified": "af_xdp:FloorUnverified",
            "udp": "af_xdp:Udp",
        },
    ),
)

BUILDS = tuple(
    Benchmark(f"builds_{inputs}", inputs, ("ns",), dict.fromkeys(builds.BUILDS, "engine:Books"))
    for inputs in ("one", "many", "capture")
)
PREFETCH = tuple(
    Benchmark(f"prefetch_{inputs}", inputs, ("ns",), {"on": "engine:Books", "off": "engine:BooksWithoutPrefetch"})
    for inputs in ("one", "some", "many")
)
