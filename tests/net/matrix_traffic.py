#!/usr/bin/env python3
"""The traffic of the matrix test, between stations of the virtual LAN.

matrix_traffic.py serve PARTIES                    answers, until killed
matrix_traffic.py probe DEVICE SLOW NAME=IP...     asks these; prints what it saw of each, as one JSON object

A probe asks who has the address (ARP), sends and fetches by TCP, sends numbered datagrams that come back (UDP), and
frames of 1500 bytes that may not be fragmented (ICMP). It measures and does not judge. SLOW stretches its patience.

All probes send their datagrams at the same time, which is when all have finished with TCP: they meet at the first
station that they are told of, which expects so many PARTIES. Else their transfers, and their own start, would be what
the datagrams show."""
import collections
import hashlib
import json
import random
import select
import socket
import socketserver
import struct
import subprocess
import sys
import threading
import time

PORT = 5000
PATIENCE = 30.0  # for one connection
QUIET = 2.0      # nothing has come for so long: nothing will. Twice the port's max_age

TRANSFER = 100_000
DATAGRAMS, PER_SECOND = 200, 40
PAYLOAD_MIN, PAYLOAD_MAX = 8, 400
LARGE_EACH, PAYLOAD_LARGE = 10, 1400
FULL_FRAMES, FULL_PAYLOAD = 20, 1472  # with 28 bytes of headers: 1500
ARP_QUESTIONS, ARP_WAIT = 10, 0.3

NUMBER = struct.Struct("!II")  # of the probe, of its datagram
ETH_P_ARP = 0x0806

PATTERN = random.Random(1).randbytes(2 * TRANSFER)


def pattern(size, seed):
    """Bytes that are others for each seed."""
    start = seed % (len(PATTERN) - size)
    return PATTERN[start:start + size]


def payload(probe, number):
    """The datagram of that number: sizes go up and down, and now and then comes one that hardly fits a path's."""
    size = PAYLOAD_MIN + number * 211 % (PAYLOAD_MAX - PAYLOAD_MIN)
    if number % LARGE_EACH == LARGE_EACH - 1:
        size = PAYLOAD_LARGE
    return NUMBER.pack(probe, number) + pattern(size - NUMBER.size, number)


class Tally:
    """Numbered datagrams as they came."""

    def __init__(self):
        self.seen = set()
        self.figures = collections.Counter(arrived=0, duplicates=0, late=0, damaged=0)
        self.highest = -1

    def add(self, datagram):
        probe, number = NUMBER.unpack_from(datagram)
        if datagram != payload(probe, number):
            self.figures["damaged"] += 1
        elif number in self.seen:
            self.figures["duplicates"] += 1
        else:
            self.figures["arrived"] += 1
            self.figures["late"] += number < self.highest
        self.seen.add(number)
        self.highest = max(self.highest, number)

    def report(self):
        return {**self.figures, "missing": sorted(set(range(DATAGRAMS)) - self.seen)}


# --- The one that serves ----------------------------------------------------------------------------------------------

tallies = collections.defaultdict(Tally)
meeting = None


class Requests(socketserver.StreamRequestHandler):
    """A request is a line of JSON; "send" is followed by bytes, the answer to "fetch" is bytes."""

    def handle(self):
        for line in self.rfile:
            request = json.loads(line)
            if request["do"] == "send":
                data = self.rfile.read(request["size"])
                self.answer({"sha256": hashlib.sha256(data).hexdigest()})
            elif request["do"] == "fetch":
                self.wfile.write(pattern(request["size"], request["seed"]))
            elif request["do"] == "tally":
                self.answer(tallies[request["probe"]].report())
            elif request["do"] == "meet":
                self.answer(meet(request["patience"]))

    def answer(self, what):
        self.wfile.write(json.dumps(what).encode() + b"\n")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64


def meet(patience):
    """Whether all parties have come."""
    try:
        meeting.wait(patience)
    except threading.BrokenBarrierError:
        return False
    return True


def echo(sock):
    while True:
        datagram, sender = sock.recvfrom(65536)
        tallies[NUMBER.unpack_from(datagram)[0]].add(datagram)
        sock.sendto(datagram, sender)


def serve(parties):
    global meeting
    meeting = threading.Barrier(parties)
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("", PORT))
    threading.Thread(target=echo, args=(sock,), daemon=True).start()
    Server(("", PORT), Requests).serve_forever()


# --- The one that asks ------------------------------------------------------------------------------------------------


def arp_request(mac, own_ip, ip):
    return struct.pack("!6s6sHHHBBH6s4s6s4s", b"\xff" * 6, mac, ETH_P_ARP, 1, 0x0800, 6, 4, 1, mac,
                       socket.inet_aton(own_ip), bytes(6), socket.inet_aton(ip)) + bytes(18)


def is_arp_answer(frame, mac, ip):
    return frame[:6] == mac and frame[20:22] == b"\0\2" and frame[28:32] == socket.inet_aton(ip)


def address_of(ip):
    """From which of our addresses that one is reached."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((ip, PORT))
        return sock.getsockname()[0]


def ask_by_arp(device, ip, slow):
    """How many questions it took until the answer, or None."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ARP)) as sock:
        sock.bind((device, ETH_P_ARP))
        mac = sock.getsockname()[4]
        own_ip = address_of(ip)
        for question in range(1, ARP_QUESTIONS + 1):
            sock.send(arp_request(mac, own_ip, ip))
            deadline = time.monotonic() + ARP_WAIT * slow
            while (left := deadline - time.monotonic()) > 0:
                sock.settimeout(left)
                try:
                    if is_arp_answer(sock.recv(2048), mac, ip):
                        return question
                except TimeoutError:
                    break
    return None


class Connection:
    """Requests to the one that serves."""

    def __init__(self, ip, slow):
        deadline = time.monotonic() + PATIENCE * slow
        while True:
            try:
                self.sock = socket.create_connection((ip, PORT), timeout=PATIENCE * slow)
                break
            except ConnectionRefusedError:  # does not serve yet
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        self.lines = self.sock.makefile("rb")

    def ask(self, request, data=b""):
        self.sock.sendall(json.dumps(request).encode() + b"\n" + data)

    def answer(self):
        return json.loads(self.lines.readline())


def transfer(connection, probe):
    """Whether what went there, and what came from there, is what was sent."""
    data = pattern(TRANSFER, probe)
    connection.ask({"do": "send", "size": len(data)}, data)
    sent = connection.answer()["sha256"] == hashlib.sha256(data).hexdigest()
    connection.ask({"do": "fetch", "size": TRANSFER, "seed": probe + 1})
    return sent, connection.lines.read(TRANSFER) == pattern(TRANSFER, probe + 1)


class Exchange:
    """Numbered datagrams to a station and back."""

    def __init__(self, ip, probe):
        self.probe = probe
        self.tally = Tally()
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.connect((ip, PORT))

    def send(self, number):
        self.sock.send(payload(self.probe, number))

    def is_complete(self):
        return self.tally.figures["arrived"] == DATAGRAMS


def receive(exchanges, until):
    """Whether a datagram came before that moment."""
    ready = select.select([exchange.sock for exchange in exchanges], [], [], max(until - time.monotonic(), 0))[0]
    for exchange in exchanges:
        if exchange.sock in ready:
            exchange.tally.add(exchange.sock.recv(65536))
    return bool(ready)


def exchange_datagrams(exchanges, slow):
    """Sends to all of the stations, evenly, and takes what comes back."""
    start = time.monotonic()
    for number in range(DATAGRAMS):
        while receive(exchanges, start + number / PER_SECOND):
            pass
        for exchange in exchanges:
            exchange.send(number)
    while not all(exchange.is_complete() for exchange in exchanges) and receive(
            exchanges, time.monotonic() + QUIET * slow):
        pass


def ping_full_frames(ip, slow):
    """How many were answered."""
    command = ["ping", "-n", "-q", "-M", "do", "-s", str(FULL_PAYLOAD), "-c", str(FULL_FRAMES), "-i", "0.05",
               "-W", str(int(QUIET * slow)), ip]
    ping = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    return int(ping.stdout.split(" packets transmitted, ")[1].split()[0])


class Station:
    """One that is asked, and what is seen of it."""

    def __init__(self, ip):
        self.ip = ip
        self.probe = random.SystemRandom().getrandbits(31)
        self.seen = {}

    def find(self, device, slow):
        self.seen["arp_questions"] = ask_by_arp(device, self.ip, slow)
        self.connection = Connection(self.ip, slow)

    def transfer(self):
        begin = time.monotonic()
        self.seen["sent"], self.seen["fetched"] = transfer(self.connection, self.probe)
        self.seen["transfer_sec"] = round(time.monotonic() - begin, 2)

    def ask_tally(self):
        self.connection.ask({"do": "tally", "probe": self.probe})
        self.seen["there"] = self.connection.answer()


def probe_stations(device, slow, ips):
    stations = [Station(ip) for ip in ips]
    for station in stations:
        station.find(device, slow)
        station.transfer()
    stations[0].connection.ask({"do": "meet", "patience": PATIENCE * slow / 2})
    stations[0].connection.answer()
    exchanges = [Exchange(station.ip, station.probe) for station in stations]
    exchange_datagrams(exchanges, slow)
    for station, exchange in zip(stations, exchanges):
        station.seen["back"] = exchange.tally.report()
        station.ask_tally()
        station.seen["full_frames"] = ping_full_frames(station.ip, slow)
    return [station.seen for station in stations]


def main(arguments):
    if len(arguments) == 2 and arguments[0] == "serve":
        serve(int(arguments[1]))
    elif len(arguments) >= 4 and arguments[0] == "probe":
        names, ips = zip(*(station.split("=") for station in arguments[3:]))
        json.dump(dict(zip(names, probe_stations(arguments[1], float(arguments[2]), ips))), sys.stdout)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
