"""Times what is compared: the subjects of each benchmark take turns on one CPU, round by round."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, cast

from bench import builds, environments, floor, report, ringrun, workloads
from bench.benchmarks import BENCHMARKS, BUILDS, PREFETCH, Benchmark

INPUTS = environments.CACHE / "inputs"
NO_CAPTURE = "there is no capture in ../shared/captures"


class Worker:
    """A subject in its own process, asleep unless asked."""

    def __init__(self, subject: str, inputs: Path, python: Path, path: list[Path], cpu: str) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
        self._process = subprocess.Popen(
            [str(python), "-m", "bench.worker", f"bench.subjects.{subject}", str(inputs), cpu],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        # Typed as optional, and never None with the pipes above.
        self._requests = cast(IO[str], self._process.stdin)
        self._answers = cast(IO[str], self._process.stdout)
        self._answer()

    def _answer(self) -> dict[str, float]:
        line = self._answers.readline()
        answer = json.loads(line) if line else {"error": f"its process ended with {self._process.wait()}"}
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return cast(dict[str, float], answer)

    def ask(self, what: str) -> dict[str, float]:
        """The answer to `run` or `latency`; RuntimeError with the subject's own words when it failed."""
        self._requests.write(what + "\n")
        self._requests.flush()
        return self._answer()

    def close(self) -> None:
        """End the process."""
        self._requests.close()
        self._process.wait()


def _prepare_inputs() -> None:
    INPUTS.mkdir(parents=True, exist_ok=True)
    floor.build(INPUTS / "libfloor.so")
    workloads.synthetic(1, 1000, 400_000).save(INPUTS / "one")
    workloads.synthetic(64, 128, 400_000).save(INPUTS / "some")
    workloads.synthetic(2048, 128, 400_000).save(INPUTS / "many")
    for venue, path in workloads.captures()[:1]:
        workload, messages = workloads.captured(venue, path)
        workload.save(INPUTS / "capture")
        messages.save(INPUTS / "capture")


class Suite:
    """Runs benchmarks and collects results."""

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds
        self._cpu = str(max(os.sched_getaffinity(0)))
        self.results = report.Results()

    @contextmanager
    def _workers(self, benchmark: Benchmark) -> Iterator[dict[str, Worker]]:
        with ExitStack() as stack:
            workers: dict[str, Worker] = {}
            for name, subject in benchmark.subjects.items():
                try:
                    workers[name] = self._worker(benchmark, name, subject)
                    stack.callback(workers[name].close)
                except (RuntimeError, environments.PreparationError) as error:
                    self.results.not_run[f"{benchmark.name}.{name}"] = str(error)
            yield workers

    def _worker(self, benchmark: Benchmark, name: str, subject: str) -> Worker:
        inputs = INPUTS / benchmark.inputs
        if not inputs.exists():
            raise RuntimeError(NO_CAPTURE)
        wanted = name if benchmark in BUILDS else builds.best()
        if wanted in builds.failed():
            raise RuntimeError(builds.failed()[wanted])
        build = builds.folder(wanted)
        if benchmark.name in _ON_TWO_CPUS:
            if ringrun.cpus() is None:
                raise RuntimeError("it needs two CPUs")
            return Worker(subject, inputs, Path(sys.executable), [environments.APP, build], "any")
        if name == "cryptofeed":
            return Worker(subject, inputs, environments.cryptofeed(), [environments.APP], self._cpu)
        return Worker(subject, inputs, Path(sys.executable), [environments.APP, build], self._cpu)

    def run(self, benchmark: Benchmark) -> None:
        """Let the subjects take turns; the first round warms up and isn't counted."""
        print(f"{benchmark.name} ", end="", file=sys.stderr, flush=True)
        found: report.Rounds = {}
        with self._workers(benchmark) as workers:
            for number in range(self._rounds + 1):
                for name in list(workers):
                    try:
                        figures = workers[name].ask("run")
                    except RuntimeError as error:
                        self.results.not_run[f"{benchmark.name}.{name}"] = str(error)
                        del workers[name]
                        found.pop(name, None)
                        continue
                    if number:
                        found.setdefault(name, []).append(figures)
                print(".", end="", file=sys.stderr, flush=True)
            if benchmark in BENCHMARKS:
                self.results.latency[benchmark.name] = {
                    name: workers[name].ask("latency") for name in found if benchmark.subjects[name] in _WITH_LAPS
                }
        self.results.rounds[benchmark.name] = found
        print(file=sys.stderr)


_ON_TWO_CPUS = ("ring", "udp_oneway")
_WITH_LAPS = ("engine:Books", "engine:Packets", "c:Tree", "c:Array", "c:Packets")


def main() -> None:
    """Run, print, and leave the results in app/bench/results/."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="rounds that are counted (default: %(default)s)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="benchmarks to run (default: all)")
    arguments = parser.parse_args()
    everything = (*BENCHMARKS, *PREFETCH, *BUILDS)
    unknown = set(arguments.only or ()) - {benchmark.name for benchmark in everything}
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are: {', '.join(b.name for b in everything)}")
    _prepare_inputs()
    suite = Suite(arguments.rounds)
    for benchmark in everything:
        if not arguments.only or benchmark.name in arguments.only:
            suite.run(benchmark)
    report.write(suite.results, BENCHMARKS, environments.APP / "bench" / "results")


if __name__ == "__main__":
    main()
