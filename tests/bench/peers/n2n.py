"""n2n: edges that cannot reach each other talk through the supernode, which passes sealed packets on as they are."""
from topology import HUB_ADDRESS

from .peer import Peer

PORT = 7654


class N2n(Peer):
    name = "n2n"
    label = "n2n, Twofish"
    sealed = True
    # An edge configures its device by ifconfig.
    commands = ("supernode", "edge", "ifconfig")

    def start(self, network):
        network.start_hub("supernode", "-l", str(PORT))
        for name in network.clients:
            network.start(name, "edge", "-d", "lan0", "-a", network.lan[name], "-s", "255.255.255.0", "-c", "bench",
                          "-k", "a key for the bench", "-l", f"{HUB_ADDRESS}:{PORT}")


def peers():
    return [N2n()]
