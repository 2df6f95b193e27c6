#!/usr/bin/env python3
"""Where each nanosecond of a datagram goes, in the three programs (docs/performance.md).

Runs the hub and two clients as bench.py does, with one TCP stream through them, or with frames of 64 bytes. Samples the call
stacks with perf, sorts the samples by stage of the data path, and divides by the datagrams (or frames) that the sending
client has sent meanwhile. System calls are counted in a second stretch, so that counting does not weigh on the first.

      unshare --mount --net --pid --fork --kill-child --mount-proc python3 tests/bench/stages.py --build BUILD

BUILD has debug information (meson's default). Needs root, perf and iperf3; changes nothing outside its namespaces. Prints
Markdown tables."""
import argparse
import collections
import json
import pathlib
import re
import subprocess
import sys
import time

import measure
import topology
from peers.vswitch import Vswitch
from topology import RUN, inside, run

PROGRAMS = {"c1": "client sending", "hub": "hub", "c2": "client receiving"}
SAMPLES_PER_SECOND = 1500
SMALL_RATE = "10M"  # of UDP payload, 18 bytes a frame: 70,000 frames a second, which all three programs keep up with

# The stages by what is called, outermost first with ">" between. In the kernel the first pattern that fits decides.
KERNEL = (
    ("waiting, timers, waking other workers", r"epoll|timerfd|eventfd"),
    ("inner TCP/IP of this host", r"tun_get_user>.*netif_receive_skb"),
    ("underlay: veth, bridge, the peer's queue", r"sendm?m?sg>.*(net_rx_action|__dev_queue_xmit)"),
    ("UDP send: copy", r"sendm?m?sg>.*copy_from_iter"),
    ("UDP send: the rest", r"sendm?m?sg"),
    ("UDP receive: copy", r"recvm?m?sg>.*copy_to_iter"),
    ("UDP receive: the rest", r"recvm?m?sg"),
    ("TAP read: copy", r"tun_chr_read_iter>.*copy_to_iter"),
    ("TAP read: the rest", r"tun_chr_read_iter|do_readv|ksys_read"),
    ("TAP write: copy", r"tun_get_user>.*(copy_from_iter|copy_page_from_iter)"),
    ("TAP write: the rest", r"tun_chr_write_iter|do_writev|ksys_write"),
    ("page faults", r"page_fault"),
    ("interrupts, the scheduler", r""),
)
# In user space the innermost function that some pattern knows decides, so that a copy belongs to who asked for it.
USER = (
    ("AEAD: seal", r"aead_seal|gcm_enc|gcm_precomp"),
    ("AEAD: open", r"aead_open|gcm_dec"),
    ("copy into frames (deframing)", r"(vs_deframer_input|take_body)>.*mem(cpy|move)"),
    ("TAP: super-frames, checksums", r"vs_tap_|vs_gso_|vs_csum_"),
    ("buffers", r"vs_frame_(new|unref|copy|list_)|vs_pool_|malloc|free$|calloc"),
    ("framing", r"vs_framing_|vs_deframer_"),
    ("fq_codel", r"vs_queue_|vs_codel_|vs_flow_|vs_ecn_"),
    ("congestion control, pacing", r"vs_(congestion|bbr|pacer|rtt|rate|minmax|cubic)_|bbr_|cubic_"),
    ("ARQ", r"vs_arq_|vs_segment_|vs_seqbits_"),
    ("session, replay, reports", r"vs_(session|replay|report|loss_probe)_"),
    ("switch", r"vs_(bridge|mactable|porttable|vlan|eth)_"),
    ("link: the rest", r"vs_link_|output_segments|input_segments"),
    ("carrier", r"vs_udp_|vs_carrier_|vs_tx_batch_|udp_flush|on_batch"),
    ("worker, loop", r"vs_worker_|vs_wport_|vs_loop_|event_base_loop"),
)
STAGES = ("TAP read: the rest", "TAP read: copy", "TAP: super-frames, checksums", "UDP receive: the rest",
          "UDP receive: copy", "AEAD: open", "session, replay, reports", "framing", "copy into frames (deframing)",
          "buffers", "switch", "fq_codel", "ARQ", "congestion control, pacing", "link: the rest", "AEAD: seal",
          "AEAD: seal or open", "carrier", "UDP send: the rest", "UDP send: copy", "TAP write: the rest",
          "TAP write: copy", "worker, loop", "other code", "waiting, timers, waking other workers",
          "page faults", "interrupts, the scheduler", "inner TCP/IP of this host", "underlay: veth, bridge, the peer's queue")
THE_MACHINES_OWN = STAGES[-2:]
SUPER_FRAME_DATAGRAMS = 46  # that a super-frame of 64 KiB fills
SYSTEM_CALLS = ("read", "readv", "write", "writev", "recvmmsg", "recvmsg", "sendmmsg", "sendmsg", "epoll_wait", "epoll_ctl",
                "timerfd_settime", "futex", "brk", "mmap", "munmap", "madvise")


# --- Samples ------------------------------------------------------------------------------------------------------------


def record(pids, seconds, path):
    run("perf", "record", "-q", "-F", str(SAMPLES_PER_SECOND), "-e", "cpu-clock", "--call-graph", "dwarf,2048", "-m", "4096",
        "-p", ",".join(map(str, pids)), "-o", path, "--", "sleep", str(seconds), timeout=seconds + 60)


def stacks(path):
    """Yields of each sample: pid, functions (the innermost first), whether the kernel was running. A function without a
    name goes by its library's."""
    text = subprocess.run(("perf", "script", "-i", path, "-F", "pid,ip,sym,dso"), check=True, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True).stdout
    for sample in text.split("\n\n"):
        head, *lines = sample.strip().splitlines() or [""]
        frames = [match for line in lines if (match := re.match(r"\s*([0-9a-f]+) (.+) \((\S+)\)$", line))]
        if frames:
            names = [frame[3] if frame[2] == "[unknown]" else frame[2] for frame in frames]
            yield int(head.split()[0]), names, frames[0][1].startswith("ffffffff")


def stage_of(names, in_kernel):
    if in_kernel:
        path = ">".join(reversed(names))
        return next(stage for stage, pattern in KERNEL if re.search(pattern, path))
    for depth in range(1, len(names) + 1):
        path = ">".join(reversed(names[:depth]))
        for stage, pattern in USER:
            if re.search(pattern, path):
                return stage
    # A stack that perf could not follow out of the library.
    return "AEAD: seal or open" if any("libcrypto" in name for name in names) else "other code"


def sampled_ns(path, pids):
    """{program: {stage: CPU nanoseconds}}"""
    found = {name: collections.Counter() for name in PROGRAMS}
    names_of = {pid: name for name, pid in pids.items()}
    for pid, names, in_kernel in stacks(path):
        if pid in names_of:
            found[names_of[pid]][stage_of(names, in_kernel)] += 1e9 / SAMPLES_PER_SECOND
    return found


# --- System calls -------------------------------------------------------------------------------------------------------


def count_system_calls(pids, seconds):
    """{program: {system call: how often}}"""
    events = ",".join(f"syscalls:sys_enter_{name}" for name in SYSTEM_CALLS)
    running = {name: subprocess.Popen(("perf", "stat", "-x", ",", "-e", events, "-p", str(pid), "--", "sleep", str(seconds)),
                                      stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
               for name, pid in pids.items()}
    found = {}
    for name, process in running.items():
        text = process.communicate(timeout=seconds + 60)[1]
        found[name] = {call: int(count) for count, call in re.findall(r"(\d+),,syscalls:sys_enter_(\w+)", text)}
    return found


# --- The load, and what it has moved -------------------------------------------------------------------------------------


def status(system):
    return json.loads(run(system.client, "status", "-c", f"{RUN}/c1.ini", "--json"))


class Meter:
    """How many datagrams (frames, where they are small) the sending client has sent, by its own account."""

    def __init__(self, system, small):
        self.system, self.small = system, small
        self.mark()

    def read(self):
        now = status(self.system)
        return now["tx_frames"] if self.small else now["tx_bytes"] / now["datagram"]

    def mark(self):
        self.units, self.at = self.read(), time.monotonic()

    def rate(self):
        """Units a second since the last mark; marks anew."""
        units, at = self.units, self.at
        self.mark()
        return (self.units - units) / (self.at - at)


def load(network, small, seconds):
    options = ("-u", "-b", SMALL_RATE, "-l", str(measure.SMALL_PAYLOAD)) if small else ("-C", "cubic")
    return subprocess.Popen(measure.iperf_command(network, seconds, *options), stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, text=True)


def frame_mover(network, name):
    """The process of a program that has used most: not the broker."""
    return max(network.pids(name), key=topology.cpu_seconds)


def profile(system, small, seconds):
    with topology.Network() as network:
        system.start(network)
        measure.wait_for_lan(system, network)
        with measure.iperf_server():
            stream = load(network, small, 2 * seconds + 8)
            try:
                time.sleep(2)
                pids = {name: frame_mover(network, name) for name in PROGRAMS}
                meter, path = Meter(system, small), str(RUN / "perf.data")
                record(pids.values(), seconds, path)
                sampled = meter.rate() * seconds
                calls = count_system_calls(pids, seconds)
                counted = meter.rate() * seconds
            finally:
                stream.kill()
                stream.wait()
        times = {name: {stage: ns / sampled for stage, ns in found.items()}
                 for name, found in sampled_ns(path, pids).items()}
        calls = {name: {call: 1000 * n / counted for call, n in found.items()} for name, found in calls.items()}
    return times, calls, sampled / seconds


# --- The report ---------------------------------------------------------------------------------------------------------


def print_table(title, rows, cell):
    print(f"| {title} | " + " | ".join(PROGRAMS.values()) + " |\n| --- |" + " ---: |" * len(PROGRAMS))
    for row in rows:
        cells = [cell(name, row) for name in PROGRAMS]
        if any(re.search("[1-9]", text) for text in cells):
            print(f"| {row} | " + " | ".join(cells) + " |")
    print()


def floor_rows(limits):
    """What no code of ours can go under: the same work, each kind of it alone."""
    read, write = (limits[f"tap_super_{way}_ns"] / SUPER_FRAME_DATAGRAMS for way in ("read", "write"))
    seal, opened = (limits[f"aead_aes_256_gcm_{way}_ns"] for way in ("seal", "open"))
    send, receive, copy = limits["udp_send_ns"], limits["udp_receive_ns"], limits["copy_ns"]
    return {
        "AEAD alone": {"c1": seal, "hub": opened + seal, "c2": opened},
        "system calls alone, their copies included": {"c1": read + send, "hub": receive + send, "c2": receive + write},
        "other copies": {"c1": copy, "hub": 2 * copy, "c2": copy},
    }


def print_floor(times, limits):
    rows = floor_rows(limits)
    rows["floor"] = {name: sum(row[name] for row in rows.values()) for name in PROGRAMS}
    rows["measured, without the machine's own"] = {
        name: times[name]["sum"] - sum(times[name].get(stage, 0) for stage in THE_MACHINES_OWN) for name in PROGRAMS}
    print("CPU nanoseconds for one datagram, at best:\n")
    print_table("", rows, lambda name, row: f"{rows[row][name]:.0f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build", help="build directory of vswitch")
    parser.add_argument("--seconds", type=int, default=5, help="of each of the two stretches")
    parser.add_argument("--small", action="store_true", help="frames of 64 bytes instead of a TCP stream")
    arguments = parser.parse_args()
    if not pathlib.Path(arguments.build, "vswitchs/vswitchs").exists():
        sys.exit(f"stages: no vswitch in '{arguments.build}'")
    topology.prepare()
    times, calls, rate = profile(Vswitch(arguments.build), arguments.small, arguments.seconds)
    unit = "frame" if arguments.small else "datagram"
    print(f"{rate:,.0f} {unit}s a second. CPU nanoseconds for one {unit}:\n")
    for found in times.values():
        found["sum"] = sum(found.values())
    print_table("stage", (*STAGES, "sum"), lambda name, stage: f"{times[name].get(stage, 0):.0f}")
    limits = measure.find_limits(arguments.build)
    if limits and not arguments.small:
        print_floor(times, measure.measure_limits(limits))
    print(f"System calls for a thousand {unit}s:\n")
    print_table("system call", SYSTEM_CALLS, lambda name, call: f"{calls[name].get(call, 0):.1f}")


if __name__ == "__main__":
    main()
