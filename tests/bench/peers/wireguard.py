"""wireguard-go, WireGuard in user space: alone, where the hub routes between its peers, and with a kernel VXLAN on top,
where the hub is a bridge as a switch would be."""
import pathlib

from topology import HUB_ADDRESS, inside, run, wait_for, write

from . import kernel
from .peer import Peer

PORT = 51820


class WireguardGo(Peer):
    name = "wireguard-go"
    label = "wireguard-go (layer 3)"
    layer = 3
    sealed = True
    commands = ("wireguard-go", "wg")

    def device(self, client):
        return f"wg-{client}"  # the names of sockets in one directory, too: each must be another

    def addresses(self, network):
        return network.lan

    def configure(self, network, keys, name, *peers):
        """Starts the process at `name`, and tells it its key and its peers."""
        device = f"wg-{name}"
        socket = pathlib.Path(f"/run/wireguard/{device}.sock")
        network.start(name, "wireguard-go", "--foreground", device)
        wait_for(lambda: socket.is_socket() and network.has_device(name, device), f"{name} has no device",
                 check=network.check)
        port = ("listen-port", str(PORT)) if name == "hub" else ()
        run(*inside(name, "wg", "set", device, "private-key", write(f"{name}.key", keys[name][0]), *port, *peers))
        network.ip(name, "link", "set", device, "up")

    @staticmethod
    def keygen(name):
        private = run("wg", "genkey").strip()
        return private, run("sh", "-c", f"wg pubkey <{write(f'{name}.key', private)}").strip()

    def start(self, network):
        addresses = self.addresses(network)
        keys = {name: self.keygen(name) for name in network.namespaces}
        peers = []
        for name in network.clients:
            peers += ["peer", keys[name][1], "allowed-ips", addresses[name]]
        self.configure(network, keys, "hub", *peers)
        subnet = addresses["c1"].rsplit(".", 1)[0] + ".0/24"
        for name in network.clients:
            self.configure(network, keys, name, "peer", keys["hub"][1], "allowed-ips", subnet,
                           "endpoint", f"{HUB_ADDRESS}:{PORT}", "persistent-keepalive", "1")
        self.join(network, subnet)

    def join(self, network, subnet):
        """The hub is a router; what comes in from one peer leaves by the same device."""
        network.ip("hub", "route", "add", subnet, "dev", "wg-hub")
        network.sysctl("hub", "net/ipv4/conf/all/send_redirects", "0")
        network.sysctl("hub", "net/ipv4/conf/wg-hub/send_redirects", "0")
        network.sysctl("hub", "net/ipv4/ip_forward", "1")


class WireguardGoVxlan(WireguardGo):
    name = "wireguard-go-vxlan"
    label = "wireguard-go + kernel VXLAN"
    layer = 2

    def device(self, client):
        return "lan0"

    def addresses(self, network):
        return {name: f"10.97.0.1{name[1:]}" for name in network.clients}

    def join(self, network, subnet):
        hub = subnet.replace(".0/24", ".1")
        addresses = self.addresses(network)
        network.ip("hub", "addr", "add", f"{hub}/24", "dev", "wg-hub")
        kernel.vxlan_at_hub(network, "wg-hub", addresses)
        for name in network.clients:
            network.ip(name, "addr", "add", f"{addresses[name]}/24", "dev", f"wg-{name}")
            kernel.add_vxlan(network, name, "lan0", name, f"wg-{name}", hub)


def peers():
    return [WireguardGo(), WireguardGoVxlan()]
