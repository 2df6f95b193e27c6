"""What is measured of a system, and how: throughput by iperf3, round trips by ping, what its processes cost; and two
checks that the figures are about what they say: that all went through the hub, and that it was sealed or not as the
system claims."""
import contextlib
import json
import os
import re
import statistics
import subprocess
import time

from topology import BenchError, Network, inside, run, wait_for

SMALL_PAYLOAD = 18  # 64 bytes of Ethernet: 14 + 20 + 8 + 18 + 4 of FCS
STREAMS = 4
MARK = b"vswitch bench 16"  # what ping fills its packets with, 16 bytes at most
MARKED, MARKED_SIZE = 5, 256
IPERF_GRACE = 10


def wait_for_lan(peer, network):
    """Gives the members their addresses as soon as their devices exist; waits until the first reaches the others."""
    for name in network.members:
        device = peer.device(name)
        wait_for(lambda: network.has_device(name, device), f"{name} has no {device}", check=network.check)
        network.ip(name, "addr", "replace", network.lan[name] + "/24", "dev", device)
        network.ip(name, "link", "set", device, "up")
    first, *others = network.members
    for name in others:
        ping = inside(first, "ping", "-n", "-q", "-c", "1", "-W", "1", network.lan[name])
        wait_for(lambda: " 1 received" in run(*ping, check=False), f"{first} does not reach {name}",
                 check=network.check)


# --- Round trips ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def pinging(network, count, interval, client="c1", server="c2"):
    """A ping from one to the other beside the block; the dictionary that it yields has the figures after the block."""
    figures = {}
    command = inside(client, "ping", "-n", "-c", str(count), "-i", str(interval), "-W", "2", network.lan[server])
    ping = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        yield figures
        output = ping.communicate(timeout=count * interval + 5)[0]
    finally:
        ping.kill()
        ping.wait()
    times = sorted(float(value) for value in re.findall(r"time=([\d.]+) ms", output))
    figures["lost"] = count - len(times)
    figures["median_ms"] = statistics.median(times) if times else None
    figures["p99_ms"] = times[int(0.99 * (len(times) - 1))] if times else None


def measure_idle(network):
    with pinging(network, 200, 0.005) as ping:
        pass
    return {f"idle_{key}": value for key, value in ping.items()}


# --- Throughput -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def iperf_server(name="c2"):
    process = subprocess.Popen(inside(name, "iperf3", "-s"), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: run(*inside(name, "ss", "-Hltn", "sport = :5201")), "iperf3 does not listen")
        yield
    finally:
        process.kill()
        process.wait()


def iperf_command(network, seconds, *options, client="c1", server="c2"):
    return inside(client, "iperf3", "-J", "-c", network.lan[server], "-t", str(seconds), *options)


def iperf(network, seconds, *options, grace=IPERF_GRACE, **ends):
    output = run(*iperf_command(network, seconds, *options, **ends), check=False, timeout=seconds + grace)
    try:
        result = json.loads(output)
    except ValueError:
        raise BenchError(f"iperf3: {output.strip()[-300:]}") from None
    if "error" in result:
        raise BenchError(f"iperf3: {result['error']}")
    return result["end"]


def measure_tcp(peer, network, seconds, name, *options):
    """TCP with a ping beside it, and what both cost. All of it must have gone in and out of the hub."""
    before = network.hub_bytes(peer.hub_devices)
    cpu = {where: network.cpu_seconds(*names) for where, names in whose(network).items()}
    # Slow start is over after half a second; the ping ends before the stream does.
    with pinging(network, int((seconds - 0.5) / 0.02), 0.02) as ping:
        end = iperf(network, seconds, "-C", "cubic", *options)
    received = end["sum_received"]
    crossed = [now - then for now, then in zip(network.hub_bytes(peer.hub_devices), before)]
    if min(crossed) < received["bytes"]:
        raise BenchError(f"{received['bytes']} bytes came, but the hub has seen only {crossed[0]} in, {crossed[1]} out")
    figures = {f"tcp_{name}_mbit": received["bits_per_second"] / 1e6}
    if peer.user_space and received["bytes"] > 0:
        for where, names in whose(network).items():
            used = network.cpu_seconds(*names) - cpu[where]
            figures[f"{where}_{name}_cpu_s_per_gb"] = used / (received["bytes"] / 1e9)
    return figures | {f"loaded_{name}_{key}": value for key, value in ping.items()}


def whose(network):
    return {"hub": ("hub",), "clients": network.clients}


def measure_small(peer, network, seconds):
    """Frames of 64 bytes that arrive, of as many as one sender can send. Counted by the far host's UDP while they flow,
    those that find the application's buffer full included: iperf3 by itself misses what is lost at the end, and counts
    what is only queued; the far device counts several that were handed over together as one."""
    command = iperf_command(network, seconds + IPERF_GRACE, "-u", "-b", "0", "-l", str(SMALL_PAYLOAD))
    before = network.udp_arrived("c2")
    sender = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: network.udp_arrived("c2") > before + 100, "no small frames arrive", IPERF_GRACE / 2)
        time.sleep(0.2)
        first, began = network.udp_arrived("c2"), time.monotonic()
        time.sleep(seconds)
        return {"small_frames_per_s": (network.udp_arrived("c2") - first) / (time.monotonic() - began)}
    finally:
        sender.kill()
        sender.wait()


# --- Checks -----------------------------------------------------------------------------------------------------------


def crosses_in_clear(peer, network):
    """Whether what the clients tell each other can be read on the hub's wire."""
    command = ("tcpdump", "-Z", "root", "-i", peer.hub_devices[0], "--immediate-mode", "-U", "-w", "-")
    watch = subprocess.Popen(inside("hub", *command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
    try:
        while b"listening on" not in (line := watch.stderr.readline()):
            if not line:
                raise BenchError("tcpdump has ended")
        run(*inside("c1", "ping", "-n", "-q", "-c", str(MARKED), "-i", "0.02", "-s", str(MARKED_SIZE), "-p", MARK.hex(),
                    network.lan["c2"]))
        time.sleep(0.1)
        watch.terminate()
        captured = watch.communicate(timeout=5)[0]
    finally:
        watch.kill()
        watch.wait()
    if len(captured) < MARKED * MARKED_SIZE:
        raise BenchError("the ping did not cross the hub")
    return MARK in captured


def check_sealed(peer, network):
    if crosses_in_clear(peer, network) == peer.sealed:
        raise BenchError("it is said to be sealed, but can be read at the hub" if peer.sealed else
                         "it is said to be clear, but cannot be read at the hub")


# --- One measurement --------------------------------------------------------------------------------------------------


def measure(peer, seconds, check):
    with Network() as network:
        peer.start(network)
        wait_for_lan(peer, network)
        if check:
            check_sealed(peer, network)
        figures = measure_idle(network)
        with iperf_server():
            figures |= measure_tcp(peer, network, seconds, "up")
            figures |= measure_tcp(peer, network, seconds, "down", "-R")
            figures |= measure_tcp(peer, network, seconds, "four", "-P", str(STREAMS))
            figures |= measure_small(peer, network, seconds)
        if peer.user_space:
            figures["hub_rss_mib"] = network.peak_rss_mib("hub")
            figures["client_rss_mib"] = network.peak_rss_mib("c1")
        network.check()
        return figures


def measure_four_clients(peer, seconds):
    """The hub's peak memory with two pairs of clients, each with four streams both ways at once."""
    with Network(("c1", "c2", "c3", "c4")) as network:
        peer.start(network)
        wait_for_lan(peer, network)
        with iperf_server("c2"), iperf_server("c4"):
            pairs = [subprocess.Popen(iperf_command(network, seconds, "-P", str(STREAMS), "--bidir", client=client,
                                                    server=server), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
                     for client, server in (("c1", "c2"), ("c3", "c4"))]
            try:
                ends = [json.loads(pair.communicate(timeout=seconds + IPERF_GRACE)[0]) for pair in pairs]
            finally:
                for pair in pairs:
                    pair.kill()
                    pair.wait()
        moved = sum(end["end"][key]["bits_per_second"] for end in ends
                    for key in ("sum_received", "sum_received_bidir_reverse"))
        return {"hub_rss_mib": network.peak_rss_mib("hub"), "tcp_mbit": moved / 1e6}


def find_limits(build):
    """The program that says what the machine can do: AEAD alone, copies alone. None if this build has none."""
    paths = [f"{build}/tests/limits", f"{build}/tests/bench/limits"]
    return next((path for path in paths if os.access(path, os.X_OK)), None)


def measure_limits(program):
    figures = json.loads(run(program, timeout=60))
    return {key: value for key, value in figures.items() if isinstance(value, (int, float))}
