"""tinc 1.0 in switch mode. IndirectData makes a client send to the other through the hub, over UDP; without it, it
would try the direct way, fail, and fall back to TCP. Discovering the path's MTU takes tinc ten seconds, in which much
goes over TCP: it is told what it would find."""
from topology import HUB_ADDRESS, RUN, run, write

from .peer import Peer


class Tinc(Peer):
    commands = ("tincd",)

    def __init__(self, name, label, sealed, mtu, host=""):
        self.name, self.label, self.sealed = name, label, sealed
        self.host = f"PMTUDiscovery = no\nPMTU = {mtu}\n{host}"

    def configure(self, name):
        """A node's directory, with its own key pair in it; returns the directory."""
        directory = f"tinc/{name}"
        more = "" if name == "hub" else "ConnectTo = hub\n"
        write(f"{directory}/tinc.conf", f"Name = {name}\nMode = switch\nInterface = lan0\nAddressFamily = ipv4\n{more}")
        address = f"Address = {HUB_ADDRESS}\n" if name == "hub" else "IndirectData = yes\n"
        write(f"{directory}/hosts/{name}", f"{address}{self.host}")
        run("tincd", "-c", f"{RUN}/{directory}", "-K", "2048")
        return RUN / directory

    def start(self, network):
        directories = {name: self.configure(name) for name in network.namespaces}
        for name in network.clients:
            (directories["hub"] / "hosts" / name).write_bytes((directories[name] / "hosts" / name).read_bytes())
            (directories[name] / "hosts" / "hub").write_bytes((directories["hub"] / "hosts" / "hub").read_bytes())
        for name, directory in directories.items():
            command = ("tincd", "-c", str(directory), "-D", f"--pidfile={directory}/pid")
            if name == "hub":
                network.start_hub(*command, listening="-Hltn")
            else:
                network.start(name, *command)


def peers():
    return [
        Tinc("tinc-none", "tinc, cipher and digest none", False, 1468, "Cipher = none\nDigest = none\n"),
        Tinc("tinc", "tinc, default cipher", True, 1451),
    ]
