"""What is measured over a bad line: nothing between the ends, vswitch in its modes, kcptun."""
import re

from measure import wait_for_lan
from peers.peer import Peer
from peers.vswitch import Vswitch
from topology import HUB_ADDRESS, inside, run, wait_for, write

PORT = 5201  # iperf3's, and that of the echo
KCPTUN_PORT = 29900


class System(Peer):
    """`only_tcp`: it carries nothing else. `groups`: which measurements it takes part in. `baseline`: the system that
    its stream of small packets is compared with, for the bytes that it takes more."""

    only_tcp = False
    groups = ("goodput", "stream")
    baseline = None


class Raw(System):
    """The line itself."""

    name, label, user_space = "raw", "nothing: plain TCP, UDP", False
    groups = ("goodput", "stream", "queues")

    def start(self, network):
        ping = inside(network.client, "ping", "-n", "-q", "-c", "1", "-W", "1", network.lan[network.server])
        wait_for(lambda: " 1 received" in run(*ping, check=False), "the line does not work", check=network.check)


class Link(Vswitch, System):
    """vswitchs with a TAP of its own at the server, vswitchc at each client. `ports`: settings of one client's port."""

    def __init__(self, build, name, label, port="", groups=System.groups, baseline=None, ports=()):
        super().__init__(build, name, label, port=port.replace(", ", "\n"))
        self.groups, self.baseline, self.ports = groups, baseline, ports

    def missing(self):
        why = super().missing()
        unknown = re.findall(r"key '(\w+)' in \[port\] is not known", why or "")
        return f"this build does not know `{'`, `'.join(unknown)}`" if unknown else why

    def server_ini(self, keys, name="hub"):
        return super().server_ini(keys, name) + "[tap lan0]\n"

    def start(self, network):
        keys = {name: self.keygen() for name in network.members}
        ini = self.server_ini(keys[network.server], network.server)
        for i, name in enumerate(network.clients):
            own = self.ports[i] if self.ports else ""
            ini += f"[port {name}]\npublic_key = {keys[name][1]}\n{own}\n"
        network.start_listening(network.server, self.server, "run", "-c", write(f"{network.server}.ini", ini))
        for name in network.clients:
            ini = self.client_ini(name, keys[name], keys[network.server])
            network.start(name, self.client, "run", "-c", write(f"{name}.ini", ini))
        network.lan = {name: f"10.98.0.{number}" for number, name in enumerate(network.members, 1)}
        wait_for_lan(self, network)


class Kcptun(System):
    """kcptun, which carries TCP connections: of the client's own loopback to the server's. Without other `options` its
    windows are its own defaults."""

    only_tcp, sealed = True, True
    commands = ("kcptun-server", "kcptun-client")

    def __init__(self, name="kcptun", label="kcptun: fast2, 10:3, aes", groups=System.groups, *options):
        self.name, self.label, self.groups = name, label, groups
        self.options = ("--mode", "fast2", "--datashard", "10", "--parityshard", "3", "--crypt", "aes", "--nocomp",
                        "--key", "bench", "--quiet", *options)

    def start(self, network):
        network.start_listening(network.server, "kcptun-server", "--listen", f":{KCPTUN_PORT}", "--target",
                                f"127.0.0.1:{PORT}", *self.options)
        network.start_listening(network.client, "kcptun-client", "--remoteaddr", f"{HUB_ADDRESS}:{KCPTUN_PORT}",
                                "--localaddr", f"127.0.0.1:{PORT}", *self.options, listening="-Hltn")
        network.lan = {network.server: "127.0.0.1"}


def all_systems(build):
    """Every system there is, by name, in the order of the tables."""
    def link(name, label, port="", **more):
        return Link(build, f"vswitch-{name}" if name else "vswitch", label, port, **more)

    stream, fec_off = {"groups": ("stream",)}, {"baseline": "vswitch-datagram"}
    found = [
        Raw(),
        link("", "vswitch", groups=("goodput", "stream", "queues")),
        link("lossy", "vswitch, `profile = lossy`", "profile = lossy", baseline="vswitch-lossy-off"),
        link("bulk", "vswitch, `profile = bulk`", "profile = bulk"),
        link("game", "vswitch, `profile = game`", "profile = game", baseline="vswitch-game-off"),
        link("auto", "vswitch, `fec = auto`", "fec = auto", baseline="vswitch"),
        link("2:1", "vswitch, `fec = 2:1`", "fec = 2:1", baseline="vswitch", **stream),
        link("datagram", "vswitch, `mode = datagram`", "mode = datagram, fec = off", **stream),
        link("datagram-auto", "vswitch, `mode = datagram`, `fec = auto`", "mode = datagram, fec = auto", **fec_off),
        link("datagram-2:1", "vswitch, `mode = datagram`, `fec = 2:1`", "mode = datagram, fec = 2:1", **stream,
             **fec_off),
        link("datagram-3:1", "vswitch, `mode = datagram`, `fec = 3:1`", "mode = datagram, fec = 3:1", **stream,
             **fec_off),
        link("datagram-4:2", "vswitch, `mode = datagram`, `fec = 4:2`", "mode = datagram, fec = 4:2", **stream,
             **fec_off),
        link("lossy-off", "vswitch, `profile = lossy`, `fec = off`", "profile = lossy, fec = off", **stream),
        link("game-off", "vswitch, `profile = game`, `fec = off`", "profile = game, fec = off", **stream),
        Kcptun(),
        Kcptun("kcptun-2048", "... with windows of 2,048", ("goodput",), "--sndwnd", "2048", "--rcvwnd", "2048"),
    ]
    return {system.name: system for system in found}
