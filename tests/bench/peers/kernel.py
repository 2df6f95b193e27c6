"""What the kernel does by itself: the plain path through a Linux bridge, and VXLAN, which is what the hub's kernel can
do on the same path without encryption."""
from .peer import Peer


def bridge_at_hub(network, ports):
    network.ip("hub", "link", "add", "lan", "type", "bridge")
    for port in ports:
        network.ip("hub", "link", "set", port, "master", "lan", "up")
    network.ip("hub", "link", "set", "lan", "up")


def vxlan_at_hub(network, device, addresses):
    """The hub's end of a VXLAN to each client, on a bridge. A VNI may be there only once, so each has another."""
    ports = []
    for name in network.clients:
        ports.append(f"vxlan-{name}")
        add_vxlan(network, "hub", ports[-1], name, device, addresses[name])
    bridge_at_hub(network, ports)


def add_vxlan(network, namespace, name, client, device, remote):
    network.ip(namespace, "link", "add", name, "type", "vxlan", "id", client[1:], "remote", remote, "dstport", "4789",
               "dev", device)


class Plain(Peer):
    """No overlay at all: the clients are plugged into a bridge at the hub."""

    name = "plain"
    label = "plain path, Linux bridge"
    user_space = False
    hub_devices = ("lan-c1", "lan-c2")

    def start(self, network):
        for name in network.clients:
            network.ip("hub", "link", "add", f"lan-{name}", "type", "veth", "peer", "name", "lan0", "netns", name)
        bridge_at_hub(network, [f"lan-{name}" for name in network.clients])


class Vxlan(Peer):
    name = "vxlan"
    label = "kernel VXLAN, Linux bridge"
    user_space = False

    def start(self, network):
        vxlan_at_hub(network, "eth0", network.underlay)
        for name in network.clients:
            add_vxlan(network, name, "lan0", name, "eth0", network.underlay["hub"])


def peers():
    return [Vxlan(), Plain()]
