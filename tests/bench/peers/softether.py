"""SoftEther: a virtual hub, and clients with a virtual NIC each, over TLS. Its UDP acceleration is slower here, so off.
Scripted through vpncmd."""
from topology import HUB_ADDRESS, inside, run, wait_for, write

from .peer import Peer

PORT = 5555
PROGRAMS = "/usr/libexec/softether"
# Debian's programs keep their state in fixed places, the same for all: each process gets these places for itself.
OWN_PLACES = """set -e
mount -t tmpfs none /var/lib
mount -t tmpfs none /var/log
mount -t tmpfs none /run
mkdir /var/lib/softether /var/log/softether /run/softether
exec "$1" execsvc"""


class SoftEther(Peer):
    name = "softether"
    label = "SoftEther, TLS"
    sealed = True
    commands = ("vpncmd", f"{PROGRAMS}/vpnserver/vpnserver", f"{PROGRAMS}/vpnclient/vpnclient")

    def device(self, client):
        return "vpn_lan0"

    @staticmethod
    def command(program):
        return ("unshare", "--mount", "sh", "-c", OWN_PLACES, "sh", f"{PROGRAMS}/{program}/{program}")

    @staticmethod
    def vpncmd(namespace, *arguments):
        run(*inside(namespace, "vpncmd", *arguments))

    def start(self, network):
        network.start_hub(*self.command("vpnserver"), listening="-Hltn")
        wait_for(lambda: run(*inside("hub", "ss", "-Hltn", f"sport = :{PORT}")), "the hub does not listen",
                 check=network.check)
        self.vpncmd("hub", f"localhost:{PORT}", "/SERVER", "/CMD", "HubCreate", "LAN", "/PASSWORD:none")
        users = "".join(f"UserCreate {name} /GROUP:none /REALNAME:none /NOTE:none\n"
                        f"UserPasswordSet {name} /PASSWORD:secret\n" for name in network.clients)
        script = write("hub.cmd", f"Hub LAN\n{users}LogDisable packet\nLogDisable security\n")
        self.vpncmd("hub", f"localhost:{PORT}", "/SERVER", f"/IN:{script}")
        for name in network.clients:
            network.start(name, *self.command("vpnclient"))
        for name in network.clients:
            self.connect(network, name)

    def connect(self, network, name):
        wait_for(lambda: run(*inside(name, "ss", "-Hltn")), f"{name} does not listen", check=network.check)
        details = ("/MAXTCP:1 /INTERVAL:1 /TTL:0 /HALF:no /BRIDGE:no /MONITOR:no /NOTRACK:yes /NOQOS:yes "
                   "/DISABLEUDP:yes")
        script = write(f"{name}.cmd", f"""NicCreate lan0
AccountCreate hub /SERVER:{HUB_ADDRESS}:{PORT} /HUB:LAN /USERNAME:{name} /NICNAME:lan0
AccountPasswordSet hub /PASSWORD:secret /TYPE:standard
AccountDetailSet hub {details}
AccountConnect hub
""")
        self.vpncmd(name, "localhost", "/CLIENT", f"/IN:{script}")


def peers():
    return [SoftEther()]
