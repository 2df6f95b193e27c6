"""fastd in TAP mode: the hub forwards between the peers that have dialled in."""
import re

from topology import HUB_ADDRESS, run, write

from .peer import Peer

PORT = 10000
# 1500 bytes of path less IPv4, UDP and fastd's own headers: what its documentation advises.
MTU = 1406


class Fastd(Peer):
    commands = ("fastd",)

    def __init__(self, name, method, sealed):
        self.name, self.label, self.method, self.sealed = name, f"fastd, {method}", method, sealed

    @staticmethod
    def keygen():
        text = run("fastd", "--generate-key")
        return [re.search(rf"{which}: (\S+)", text).group(1) for which in ("Secret", "Public")]

    def config(self, secret, peers, more=""):
        return (f'log level warn;\nmethod "{self.method}";\nmode tap;\ninterface "lan0";\nmtu {MTU};\n'
                f'secret "{secret}";\non up "ip link set $INTERFACE up";\n{more}{peers}')

    def start(self, network):
        keys = {name: self.keygen() for name in network.namespaces}
        peers = "".join(f'peer "{name}" {{ key "{keys[name][1]}"; }}\n' for name in network.clients)
        hub = self.config(keys["hub"][0], peers, f"bind {HUB_ADDRESS}:{PORT};\nforward yes;\n")
        network.start_hub("fastd", "-c", write("hub.conf", hub))
        for name in network.clients:
            peer = f'peer "hub" {{ key "{keys["hub"][1]}"; remote {HUB_ADDRESS}:{PORT}; }}\n'
            network.start(name, "fastd", "-c", write(f"{name}.conf", self.config(keys[name][0], peer)))


def peers():
    return [Fastd("fastd-null", "null", False), Fastd("fastd-salsa2012", "salsa2012+umac", True)]
