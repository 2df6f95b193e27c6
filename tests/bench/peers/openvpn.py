"""OpenVPN in TAP mode: the server relays between its clients."""
from topology import HUB_ADDRESS, RUN, run, wait_for, write

from .peer import Peer

CIPHER = "AES-256-GCM"


class OpenVPN(Peer):
    name = "openvpn"
    label = f"OpenVPN, {CIPHER}"
    sealed = True
    commands = ("openvpn", "openssl")

    @staticmethod
    def certificate(name):
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "2", "-subj", f"/CN={name}", "-keyout", f"{RUN}/{name}.key", "-out", f"{RUN}/{name}.crt")
        text = run("openssl", "x509", "-in", f"{RUN}/{name}.crt", "-noout", "-fingerprint", "-sha256")
        return text.split("=", 1)[1].strip()

    def start(self, network):
        prints = {name: self.certificate(name) for name in network.namespaces}
        common = f"dev lan0\ndev-type tap\nproto udp4\nport 1194\ndata-ciphers {CIPHER}\nverb 1\n"
        allowed = "".join(f"{prints[name]}\n" for name in network.clients)
        hub = (f"{common}mode server\ntls-server\nclient-to-client\nkeepalive 10 60\ndh none\ncert {RUN}/hub.crt\n"
               f"key {RUN}/hub.key\n<peer-fingerprint>\n{allowed}</peer-fingerprint>\n")
        network.start_hub("openvpn", "--config", write("hub.conf", hub))
        # The hub has a device too, and stalls while it is down.
        wait_for(lambda: network.has_device("hub", "lan0"), "the hub has no device", check=network.check)
        network.ip("hub", "link", "set", "lan0", "up")
        for name in network.clients:
            client = (f"{common}tls-client\npull\nnobind\nremote {HUB_ADDRESS}\ncert {RUN}/{name}.crt\n"
                      f"key {RUN}/{name}.key\npeer-fingerprint {prints['hub']}\n")
            network.start(name, "openvpn", "--config", write(f"{name}.conf", client))


def peers():
    return [OpenVPN()]
