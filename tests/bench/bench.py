#!/usr/bin/env python3
"""Throughput, latency and cost of vswitch and its peers, in one run on one machine.

      c1 --isolated--+               +--isolated-- c2       underlay 10.99.0.0/24, veth pairs on one bridge
                     +---- br0 ------+                      c1 and c2 cannot talk but through the hub
                            |
                           hub                              LAN 10.98.0.0/24 on lan0 of c1 and c2

Each round runs each system once, one after the other, so that whatever else the machine does hits all alike; the table
has the median of the rounds. Inner and outer TCP use cubic. Run by scripts/bench, inside fresh namespaces."""
import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time

RUN = pathlib.Path("/run/vswitch-bench")
NAMESPACES = ("hub", "c1", "c2")
UNDERLAY = {"hub": "10.99.0.1", "c1": "10.99.0.11", "c2": "10.99.0.12"}
LAN = {"c1": "10.98.0.1", "c2": "10.98.0.2"}
START_TIMEOUT = 20
SMALL_PAYLOAD = 18  # 64 bytes of Ethernet: 14 + 20 + 8 + 18 + 4 of FCS
TICKS = os.sysconf("SC_CLK_TCK")


def run(*command, check=True, timeout=60):
    return subprocess.run(command, check=check, timeout=timeout, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True).stdout


def inside(namespace, *command):
    return ("nsenter", f"--net=/run/netns/{namespace}", "--", *command)


def write(name, text):
    path = RUN / name
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
    return str(path)


# --- The machine: namespaces, processes, their cost ---------------------------------------------------------------------


def make_network():
    run("mount", "-t", "tmpfs", "tmpfs", "/run")
    pathlib.Path("/run/netns").mkdir()
    RUN.mkdir()
    run("ip", "link", "add", "br0", "type", "bridge")
    run("ip", "link", "set", "br0", "up")
    for namespace in NAMESPACES:
        run("ip", "netns", "add", namespace)
        run("ip", "link", "add", namespace, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        run("ip", "link", "set", namespace, "master", "br0", "up")
        if namespace != "hub":
            run("bridge", "link", "set", "dev", namespace, "isolated", "on")
        run("ip", "-n", namespace, "addr", "add", UNDERLAY[namespace] + "/24", "dev", "eth0")
        run("ip", "-n", namespace, "link", "set", "lo", "up")
        run("ip", "-n", namespace, "link", "set", "eth0", "up")
        # For what a system itself carries over TCP; some kernels allow only their default here. iperf3 asks by itself.
        run(*inside(namespace, "sh", "-c", "echo cubic >/proc/sys/net/ipv4/tcp_congestion_control"), check=False)


def processes_below(pid):
    """The process and all that it has started."""
    found = [pid]
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += processes_below(int(child))
    return found


def cpu_seconds(pids):
    total = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def peak_rss_mib(pids):
    total = 0
    for pid in pids:
        match = re.search(r"VmHWM:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text())
        total += int(match.group(1)) if match else 0
    return total / 1024


class Programs:
    """The hub and the two clients of a system, as processes."""

    def __init__(self):
        self.started = {}

    def start(self, namespace, *command):
        log = open(RUN / f"{namespace}.log", "w", encoding="utf-8")  # closed with the process's own copy
        self.started[namespace] = subprocess.Popen(inside(namespace, *command), stdin=subprocess.DEVNULL, stdout=log,
                                                   stderr=subprocess.STDOUT)
        log.close()

    def start_hub(self, *command):
        """Starts the hub and waits until it listens: a client that dials too early may back off for long."""
        self.start("hub", *command)
        deadline = time.monotonic() + START_TIMEOUT
        while not run(*inside("hub", "ss", "-Hlun")):
            self.check()
            if time.monotonic() > deadline:
                raise RuntimeError(f"the hub does not listen within {START_TIMEOUT} s")
            time.sleep(0.05)

    def pids(self, *namespaces):
        return [pid for namespace in namespaces for pid in processes_below(self.started[namespace].pid)]

    def check(self):
        for namespace, process in self.started.items():
            if process.poll() is not None:
                raise RuntimeError(f"{namespace} has ended:\n{(RUN / f'{namespace}.log').read_text()[-2000:]}")

    def stop(self):
        for process in self.started.values():
            process.send_signal(signal.SIGTERM)
        for process in self.started.values():
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.started.clear()


# --- The systems --------------------------------------------------------------------------------------------------------


class Vswitch:
    """vswitch as it comes: sealed, reliable, default settings."""

    def __init__(self, build):
        self.server, self.client = f"{build}/vswitchs/vswitchs", f"{build}/vswitchc/vswitchc"

    def available(self):
        return os.access(self.server, os.X_OK) and os.access(self.client, os.X_OK)

    def keygen(self):
        text = run(self.server, "keygen")
        return [re.search(rf"{which}_key = (\S+)", text).group(1) for which in ("private", "public")]

    def start(self, programs):
        hub_private, hub_public = self.keygen()
        ini = f"[common]\nprivate_key = {hub_private}\ncontrol = {RUN}/hub.sock\n"
        for name in ("c1", "c2"):
            private, public = self.keygen()
            ini += f"[port {name}]\npublic_key = {public}\n"
            write(f"{name}.ini", f"[common]\nserver_addr = {UNDERLAY['hub']}\nserver_public_key = {hub_public}\n"
                  f"private_key = {private}\ncontrol = {RUN}/{name}.sock\n[tap]\ndevice = lan0\n")
        programs.start_hub(self.server, "run", "-c", write("hub.ini", ini))
        for name in ("c1", "c2"):
            programs.start(name, self.client, "run", "-c", f"{RUN}/{name}.ini")


class Fastd:
    def __init__(self, method):
        self.method = method

    def available(self):
        return shutil.which("fastd") is not None

    @staticmethod
    def keygen():
        text = run("fastd", "--generate-key")
        return [re.search(rf"{which}: (\S+)", text).group(1) for which in ("Secret", "Public")]

    def config(self, secret, interface, peers, more=""):
        # 1500 bytes of path less IPv4, UDP and fastd's own headers: what its documentation advises.
        return (f'log level warn;\nmethod "{self.method}";\nmode tap;\ninterface "{interface}";\nmtu 1406;\n'
                f'secret "{secret}";\non up "ip link set $INTERFACE up";\n{more}{peers}')

    def start(self, programs):
        keys = {name: self.keygen() for name in NAMESPACES}
        peers = "".join(f'peer "{name}" {{ key "{keys[name][1]}"; }}\n' for name in ("c1", "c2"))
        hub = self.config(keys["hub"][0], "lan0", peers, f"bind {UNDERLAY['hub']}:10000;\nforward yes;\n")
        programs.start_hub("fastd", "-c", write("hub.conf", hub))
        for name in ("c1", "c2"):
            peer = f'peer "hub" {{ key "{keys["hub"][1]}"; remote {UNDERLAY["hub"]}:10000; }}\n'
            programs.start(name, "fastd", "-c", write(f"{name}.conf", self.config(keys[name][0], "lan0", peer)))


class OpenVPN:
    """OpenVPN 2.6 in TAP mode: the server relays between clients."""

    def available(self):
        return shutil.which("openvpn") is not None and shutil.which("openssl") is not None

    @staticmethod
    def certificate(name):
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", f"/CN={name}", "-keyout", f"{RUN}/{name}.key", "-out", f"{RUN}/{name}.crt")
        text = run("openssl", "x509", "-in", f"{RUN}/{name}.crt", "-noout", "-fingerprint", "-sha256")
        return text.split("=", 1)[1].strip()

    def start(self, programs):
        prints = {name: self.certificate(name) for name in NAMESPACES}
        common = "dev lan0\ndev-type tap\nproto udp4\nport 1194\ndata-ciphers AES-256-GCM\nverb 1\n"
        allowed = "".join(f"{prints[name]}\n" for name in ("c1", "c2"))
        hub = (f"{common}mode server\ntls-server\nclient-to-client\nkeepalive 10 60\ndh none\ncert {RUN}/hub.crt\n"
               f"key {RUN}/hub.key\n<peer-fingerprint>\n{allowed}</peer-fingerprint>\n")
        programs.start_hub("openvpn", "--config", write("hub.conf", hub))
        for name in ("c1", "c2"):
            client = (f"{common}tls-client\npull\nnobind\nremote {UNDERLAY['hub']}\ncert {RUN}/{name}.crt\n"
                      f"key {RUN}/{name}.key\npeer-fingerprint {prints['hub']}\n")
            programs.start(name, "openvpn", "--config", write(f"{name}.conf", client))


def systems(build):
    return {
        "vswitch": Vswitch(build),
        "fastd-null": Fastd("null"),
        "fastd-salsa2012": Fastd("salsa2012+umac"),
        "openvpn": OpenVPN(),
    }


# --- Measurements -------------------------------------------------------------------------------------------------------


def wait_for_lan(programs):
    """Gives the two ends their addresses as soon as their devices exist, and waits until they reach each other."""
    addressed = set()
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        programs.check()
        for name in set(LAN) - addressed:
            if "lan0" in run("ip", "-n", name, "-br", "link", check=False):
                run("ip", "-n", name, "addr", "add", LAN[name] + "/24", "dev", "lan0")
                run("ip", "-n", name, "link", "set", "lan0", "up")
                addressed.add(name)
        # OpenVPN's hub has a device too, and stalls while it is down.
        run("ip", "-n", "hub", "link", "set", "lan0", "up", check=False)
        if len(addressed) == len(LAN):
            ping = run(*inside("c1", "ping", "-n", "-q", "-c", "1", "-W", "1", LAN["c2"]), check=False)
            if " 1 received" in ping:
                return
        time.sleep(0.1)
    raise RuntimeError(f"c1 does not reach c2 within {START_TIMEOUT} s")


def start_ping(count, interval):
    return subprocess.Popen(inside("c1", "ping", "-n", "-c", str(count), "-i", str(interval), "-W", "2", LAN["c2"]),
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)


def ping_figures(ping, prefix):
    output = ping.communicate(timeout=60)[0]
    times = sorted(float(value) for value in re.findall(r"time=([\d.]+) ms", output))
    sent = int(re.search(r"(\d+) packets transmitted", output).group(1))
    if not times:
        return {f"{prefix}_median_ms": None, f"{prefix}_p99_ms": None, f"{prefix}_lost": sent}
    return {f"{prefix}_median_ms": statistics.median(times), f"{prefix}_p99_ms": times[int(0.99 * (len(times) - 1))],
            f"{prefix}_lost": sent - len(times)}


class IperfServer:
    def __enter__(self):
        self.process = subprocess.Popen(inside("c2", "iperf3", "-s"), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while not run(*inside("c2", "ss", "-Hltn", "sport = :5201")) and time.monotonic() < deadline:
            time.sleep(0.05)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def iperf(seconds, *options):
    output = run(*inside("c1", "iperf3", "-J", "-c", LAN["c2"], "-t", str(seconds), *options), check=False,
                 timeout=seconds + 30)
    result = json.loads(output)
    if "error" in result:
        raise RuntimeError(f"iperf3: {result['error']}")
    return result["end"]


def measure_tcp(programs, seconds, direction):
    """One TCP stream, with a ping beside it, and what both cost."""
    hub, clients = programs.pids("hub"), programs.pids("c1", "c2")
    before = cpu_seconds(hub), cpu_seconds(clients)
    # Slow start is over after half a second; the ping ends before the stream does.
    ping = start_ping(int((seconds - 0.5) / 0.02), 0.02)
    end = iperf(seconds, "-C", "cubic", *(["-R"] if direction == "down" else []))
    received = end["sum_received"]
    gigabytes = max(received["bytes"], 1) / 1e9
    figures = {
        f"tcp_{direction}_mbit": received["bits_per_second"] / 1e6,
        f"hub_{direction}_cpu_s_per_gb": (cpu_seconds(hub) - before[0]) / gigabytes,
        f"clients_{direction}_cpu_s_per_gb": (cpu_seconds(clients) - before[1]) / gigabytes,
    }
    return figures | ping_figures(ping, f"loaded_{direction}")


def measure_small(seconds):
    """Frames of 64 bytes that arrive, of as many as one sender can send."""
    end = iperf(seconds, "-u", "-b", "0", "-l", str(SMALL_PAYLOAD))
    total = end["sum"]
    return {"small_frames_per_s": (total["packets"] - total["lost_packets"]) / total["seconds"]}


def measure(system, seconds):
    programs = Programs()
    try:
        system.start(programs)
        wait_for_lan(programs)
        figures = ping_figures(start_ping(200, 0.005), "idle")
        with IperfServer():
            figures |= measure_tcp(programs, seconds, "up")
            figures |= measure_tcp(programs, seconds, "down")
            figures |= measure_small(seconds)
        figures["hub_rss_mib"] = peak_rss_mib(programs.pids("hub"))
        figures["client_rss_mib"] = peak_rss_mib(programs.pids("c1"))
        programs.check()
        return figures
    finally:
        programs.stop()


# --- The report ---------------------------------------------------------------------------------------------------------

COLUMNS = (
    ("TCP up", "tcp_up_mbit", "Mbit/s", 0),
    ("TCP down", "tcp_down_mbit", "Mbit/s", 0),
    ("64 B", "small_frames_per_s", "frames/s", 0),
    ("ping", "idle_median_ms", "ms", 2),
    ("p99", "idle_p99_ms", "ms", 2),
    ("loaded", "loaded_up_median_ms", "ms", 2),
    ("p99", "loaded_up_p99_ms", "ms", 2),
    ("hub CPU", "hub_up_cpu_s_per_gb", "s/GB", 2),
    ("clients CPU", "clients_up_cpu_s_per_gb", "s/GB", 2),
    ("hub RSS", "hub_rss_mib", "MiB", 1),
    ("client RSS", "client_rss_mib", "MiB", 1),
)


def median_of(rounds):
    keys = rounds[0].keys() if rounds else ()
    values = {key: [r[key] for r in rounds if r.get(key) is not None] for key in keys}
    return {key: statistics.median(found) if found else None for key, found in values.items()}


def print_table(results):
    rows = [["", *(title for title, _, _, _ in COLUMNS)], ["", *(unit for _, _, unit, _ in COLUMNS)]]
    for name, result in results.items():
        figures = result["median"]
        cells = [f"{figures[key]:.{digits}f}" if figures.get(key) is not None else "-" for _, key, _, digits in COLUMNS]
        rows.append([name, *cells])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print(row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:])), sep="  ")


def machine():
    model = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return {"cpu": model.group(1) if model else "?", "cores": os.cpu_count(), "kernel": os.uname().release}


def parse_arguments():
    parser = argparse.ArgumentParser(description="Measures vswitch beside its peers.")
    parser.add_argument("--build", default="build", help="build directory of vswitch")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5, help="of each transfer")
    parser.add_argument("--only", help="names, with commas: " + ", ".join(systems("")))
    parser.add_argument("--json", help="where the figures go (default: bench.json in the build directory)")
    arguments = parser.parse_args()
    if arguments.rounds < 1 or not 1 <= arguments.seconds <= 600:
        parser.error("at least one round; 1 to 600 seconds")
    return arguments


def choose(arguments):
    known = systems(arguments.build)
    names = arguments.only.split(",") if arguments.only else list(known)
    for name in names:
        if name not in known:
            sys.exit(f"bench: '{name}' is not known; there are: {', '.join(known)}")
    chosen = {name: known[name] for name in names if known[name].available()}
    for name in names:
        if name not in chosen:
            print(f"{name} is not installed and left out", file=sys.stderr)
    return chosen


def main():
    arguments = parse_arguments()
    chosen = choose(arguments)
    make_network()
    results = {name: {"rounds": [], "errors": []} for name in chosen}
    for number in range(1, arguments.rounds + 1):
        for name, system in chosen.items():
            print(f"round {number} of {arguments.rounds}: {name}", file=sys.stderr, flush=True)
            try:
                results[name]["rounds"].append(measure(system, arguments.seconds))
            except (RuntimeError, subprocess.SubprocessError, ValueError, OSError) as error:
                results[name]["errors"].append(str(error))
                print(f"  {name}: {error}", file=sys.stderr)
    for result in results.values():
        result["median"] = median_of(result["rounds"])
    print_table(results)
    report = {"machine": machine(), "rounds": arguments.rounds, "seconds": arguments.seconds, "systems": results}
    path = arguments.json or f"{arguments.build}/bench.json"
    pathlib.Path(path).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"figures of each round: {path}")


if __name__ == "__main__":
    main()
