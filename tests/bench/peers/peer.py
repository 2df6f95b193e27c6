"""What every system that is measured has: a name, what it is, and how it is started."""
import shutil


class Peer:
    """One system in one configuration. `start` brings up a hub and the network's clients, and leaves a device at each
    client that is on the LAN; it need not wait until they reach each other."""

    name = ""
    label = ""
    layer = 2
    sealed = False
    user_space = True
    commands = ()  # without which it cannot run
    hub_devices = ("eth0",)  # which all that the clients tell each other must cross

    def missing(self):
        """Why it cannot be measured here, or None."""
        lacking = [command for command in self.commands if shutil.which(command) is None]
        return f"not installed ({', '.join(lacking)})" if lacking else None

    def device(self, client):
        """The client's device on the LAN."""
        return "lan0"

    def start(self, network):
        raise NotImplementedError
