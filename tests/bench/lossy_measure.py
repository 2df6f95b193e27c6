"""What is measured over a line: how much a TCP stream brings across and what that takes of the line, what becomes of a
stream of small packets, and how flows share."""
import concurrent.futures
import contextlib
import json
import pathlib
import statistics
import subprocess
import sys
import time

import lossy_line
import measure
from lossy_line import Line
from lossy_systems import PORT, Link
from topology import BenchError, go_first, inside, run, wait_for

WARM_UP = 2  # seconds: slow start, of the inner TCP and of the link, is over
# How much later than our start of iperf3 its clock may start: a few round trips, and a lost packet among them.
IPERF_DELAY = 0.3
IPERF_GRACE = 40
PING_INTERVAL = 0.02
IDLE_SECONDS = 2
ECHO = str(pathlib.Path(__file__).with_name("echo.py"))
ECHO_INTERVAL, ECHO_SIZE = 0.02, 100
ECHO_SETTLE = 4  # seconds: path MTU, and what an adaptive code has to learn
STARTERS = 4


def busy_seconds():
    """Of all processors together, and how much there was of them."""
    times = [int(field) for field in pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return sum(times) - times[3] - times[4], sum(times)


@contextlib.contextmanager
def machine_load(figures):
    """How busy the whole machine was during the block, from 0 to 1: near 1 the figures are those of the machine."""
    before = busy_seconds()
    yield
    busy, all_of_it = (after - then for after, then in zip(busy_seconds(), before))
    figures["machine_load"] = busy / all_of_it if all_of_it else 0


# --- TCP --------------------------------------------------------------------------------------------------------------


class Stream:
    """A TCP stream from the server to a client, by iperf3, that runs beside what else is done."""

    def __init__(self, line, seconds, client, port=PORT):
        self.seconds = WARM_UP + seconds
        command = measure.iperf_command(line, seconds, "-O", str(WARM_UP), "-R", "-C", "cubic", "-p", str(port),
                                        client=client, server=line.server)
        self.popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.started = time.monotonic()

    def mbit(self):
        """Its rate, once it has ended."""
        try:
            output = self.popen.communicate(timeout=self.seconds + IPERF_GRACE)[0]
            result = json.loads(output)
        except subprocess.TimeoutExpired:
            raise BenchError("iperf3 does not end") from None
        except ValueError:
            raise BenchError(f"iperf3: {output.strip()[-300:]}") from None
        if "error" in result:
            raise BenchError(f"iperf3: {result['error']}")
        return result["end"]["sum_received"]["bits_per_second"] / 1e6

    def stop(self):
        self.popen.kill()
        self.popen.wait()


@contextlib.contextmanager
def streaming(line, seconds, client=None, port=PORT):
    stream = Stream(line, seconds, client or line.client, port)
    try:
        yield stream
    finally:
        stream.stop()


def watch_stream(line, seconds):
    """One stream; what it brings, and what went over the line meanwhile."""
    figures = {}
    with machine_load(figures), streaming(line, seconds) as stream:
        passed = line.watch(stream.started + WARM_UP + IPERF_DELAY, seconds - IPERF_DELAY)
        mbit = stream.mbit()
    figures |= {"mbit": mbit, "fill": passed.fill("down"), "queue_bytes_max": passed.after["down"]["queue_bytes_max"],
                "queue_full": passed.count("queue_full", "down"), "emulator_load": passed.emulator_load}
    if mbit > 0:
        figures["wire_per_byte"] = passed.bytes_per_second() * 8 / (mbit * 1e6)
    return figures


def measure_goodput(line, system, seconds):
    with line:
        system.start(line)
        with measure.iperf_server(line.server):
            figures = watch_stream(line, seconds)
        line.check()
        return figures


def measure_queue(line, system, seconds):
    """The same, with a ping beside it, and the ping alone before it."""
    with line:
        system.start(line)
        ends = {"client": line.client, "server": line.server}
        with measure.pinging(line, int(IDLE_SECONDS / PING_INTERVAL), PING_INTERVAL, **ends) as idle:
            pass
        with measure.iperf_server(line.server), delayed_ping(line, seconds, ends) as loaded:
            figures = watch_stream(line, seconds)
        line.check()
    return (figures | {f"idle_{key}": value for key, value in idle.items()} |
            {f"loaded_{key}": value for key, value in loaded.items()})


@contextlib.contextmanager
def delayed_ping(line, seconds, ends):
    """A ping beside the block, once a stream that starts with it has warmed up."""
    figures = {}

    def ping():
        time.sleep(WARM_UP + IPERF_DELAY)
        with measure.pinging(line, int((seconds - 1) / PING_INTERVAL), PING_INTERVAL, **ends) as found:
            pass
        figures.update(found)

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        done = pool.submit(ping)
        yield figures
        done.result()


# --- Fairness ---------------------------------------------------------------------------------------------------------


def measure_fair(program, build, seed, seconds, congestions):
    """Two links, each with this congestion control, and a plain TCP stream: Mbit/s of each."""
    link = Link(build, "fair", "", ports=[f"congestion = {name}" for name in congestions])
    with Line(program, lossy_line.options(), seed=seed, second=True) as line, contextlib.ExitStack() as stack:
        outside = dict(line.lan)
        link.start(line)
        for port in range(PORT, PORT + 3):
            line.start(line.server, "iperf3", "-s", "-p", str(port))
            wait_for(lambda: run(*inside(line.server, "ss", "-Hltn", f"sport = :{port}")), "iperf3 does not listen")
        streams = [stack.enter_context(streaming(line, seconds, client, port))
                   for port, client in enumerate(line.clients, PORT)]
        line.lan = outside
        streams.append(stack.enter_context(streaming(line, seconds, line.client, PORT + 2)))
        rates = [stream.mbit() for stream in streams]
        line.check()
    return dict(zip(("first", "second", "tcp"), rates))


# --- Small packets ----------------------------------------------------------------------------------------------------


class Echo:
    """A stream of small packets over a line on which a system runs."""

    def __init__(self, line, system, seconds):
        address = line.lan[line.server]
        tcp = ["--tcp"] if system.only_tcp else []
        ends = [str(PORT), *tcp]
        go_first(line.start(line.server, sys.executable, "-B", ECHO, "serve", address, *ends).popen.pid)
        wait_for(lambda: run(*inside(line.server, "ss", "-Hltun", f"sport = :{PORT}")), "the echo does not listen",
                 check=line.check)
        self.line, self.seconds = line, seconds
        self.command = inside(line.client, sys.executable, "-B", ECHO, "send", address, *ends, "--size",
                              str(ECHO_SIZE), "--interval", str(ECHO_INTERVAL), "--count",
                              str(round(seconds / ECHO_INTERVAL)), "--skip", str(round(ECHO_SETTLE / ECHO_INTERVAL)))

    def run(self):
        sender = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True)
        go_first(sender.pid)
        try:
            passed = self.line.watch(time.monotonic() + ECHO_SETTLE, self.seconds)
            output, errors = sender.communicate(timeout=IPERF_GRACE)
        finally:
            sender.kill()
            sender.wait()
        self.line.check()
        if sender.returncode != 0:
            raise BenchError(f"the echo: {errors.strip()[-300:]}")
        found = json.loads(output)
        return {"sent": found["sent"], "rtts_ms": found["rtts_ms"], "wire_bytes_per_s": passed.bytes_per_second()}


def start_echo(stack, line, system, seconds):
    stack.enter_context(line)
    system.start(line)
    return Echo(line, system, seconds)


def outcome(future):
    """What it has returned, or the error that it has raised."""
    try:
        return future.result()
    except (BenchError, OSError, ValueError, LookupError, subprocess.SubprocessError) as error:
        return BenchError(str(error) or type(error).__name__)


def measure_streams(lines, systems, seconds):
    """All systems at once, each on the line of its own that `lines` has for it: together they send less than one TCP
    stream does. The figures by name, or a BenchError."""
    with contextlib.ExitStack() as stack:
        with concurrent.futures.ThreadPoolExecutor(STARTERS) as pool:
            started = {name: pool.submit(start_echo, stack, lines[name], system, seconds)
                       for name, system in systems.items()}
        found = {name: outcome(future) for name, future in started.items()}
        load = {}
        with machine_load(load), concurrent.futures.ThreadPoolExecutor(len(systems)) as pool:
            ended = {name: pool.submit(echo.run) for name, echo in found.items() if isinstance(echo, Echo)}
        found |= {name: outcome(future) for name, future in ended.items()}
    return {name: figures if isinstance(figures, BenchError) else figures | load for name, figures in found.items()}


def summarize_streams(rounds):
    """One figure of several rounds of a stream: their packets are counted together."""
    rtts = sorted(rtt for figures in rounds for rtt in figures["rtts_ms"])
    sent = sum(figures["sent"] for figures in rounds)
    return {"sent": sent, "lost": sent - len(rtts), "residual": 1 - len(rtts) / sent,
            "median_ms": statistics.median(rtts) if rtts else None,
            "p99_ms": rtts[int(0.99 * (len(rtts) - 1))] if rtts else None,
            "wire_bytes_per_s": statistics.mean(figures["wire_bytes_per_s"] for figures in rounds),
            "machine_load": max(figures["machine_load"] for figures in rounds)}
