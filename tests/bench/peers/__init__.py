"""The systems that are measured, one family a module."""
from . import fastd, kernel, n2n, openvpn, softether, tinc, vswitch, wireguard


def all_peers(build):
    """Every system there is, by name, in the order of the table."""
    found = [*vswitch.peers(build), *wireguard.peers(), *softether.peers(), *fastd.peers(), *tinc.peers(), *n2n.peers(),
             *openvpn.peers(), *kernel.peers()]
    return {peer.name: peer for peer in found}
