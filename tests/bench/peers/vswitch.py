"""vswitch: as it comes (sealed, reliable, default settings), and with one setting changed at a time."""
import os
import re

from topology import HUB_ADDRESS, RUN, BenchError, run, write

from .peer import Peer


class Vswitch(Peer):
    """`port` is added to the server's [port]; `common` and `tap` to the clients' sections of these names."""

    def __init__(self, build, name="vswitch", label="vswitch", sealed=True, port="", common="", tap=""):
        self.server, self.client = f"{build}/vswitchs/vswitchs", f"{build}/vswitchc/vswitchc"
        self.name, self.label, self.sealed = name, label, sealed
        self.port, self.common, self.tap = port, common, tap

    def missing(self):
        for program in (self.server, self.client):
            if not os.access(program, os.X_OK):
                return f"not built ({program})"
        return self.refused()

    def refused(self):
        """Why this build does not take the settings."""
        keys = self.keygen()
        files = ((self.server, self.server_ini(keys)), (self.client, self.client_ini("c1", self.keygen(), keys)))
        for program, text in files:
            try:
                run(program, "check", "-c", write("check.ini", text))
            except BenchError as error:
                return f"not in this build ({error})"
        return None

    def keygen(self):
        text = run(self.server, "keygen")
        return [re.search(rf"{which}_key = (\S+)", text).group(1) for which in ("private", "public")]

    def server_ini(self, keys, name="hub"):
        return f"[common]\nprivate_key = {keys[0]}\ncontrol = {RUN}/{name}.sock\n[port]\n{self.port}\n"

    def client_ini(self, name, keys, server_keys):
        return (f"[common]\nserver_addr = {HUB_ADDRESS}\nserver_public_key = {server_keys[1]}\n"
                f"private_key = {keys[0]}\ncontrol = {RUN}/{name}.sock\n{self.common}\n"
                f"[tap]\ndevice = lan0\n{self.tap}\n")

    def start(self, network):
        keys = {name: self.keygen() for name in network.namespaces}
        ports = "".join(f"[port {name}]\npublic_key = {keys[name][1]}\n" for name in network.clients)
        network.start_hub(self.server, "run", "-c", write("hub.ini", self.server_ini(keys["hub"]) + ports))
        for name in network.clients:
            ini = self.client_ini(name, keys[name], keys["hub"])
            network.start(name, self.client, "run", "-c", write(f"{name}.ini", ini))


def peers(build):
    return [
        Vswitch(build),
        Vswitch(build, "vswitch-nooffload", "vswitch, `offload = off`", tap="offload = off"),
        Vswitch(build, "vswitch-none", "vswitch, `cipher = none`", sealed=False, port="cipher = none",
                common="weakest_cipher = none"),
    ]
