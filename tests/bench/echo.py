#!/usr/bin/env python3
"""A stream of small packets and its echo: how many come back, and when. Over UDP, or as messages over one TCP
connection (for a system that carries nothing else).

    echo.py serve ADDRESS PORT [--tcp]
    echo.py send ADDRESS PORT [--tcp] --count N [--skip N] [--interval SECONDS] [--size BYTES]

`send` prints JSON: `sent`, and `rtts_ms` with the round trip of each packet that came back, without the first `--skip`,
which are for the line to settle. A packet counts once, whenever it comes within TAIL seconds of the last."""
import argparse
import gc
import json
import select
import socket
import struct
import time

HEADER = struct.Struct(">Qd")  # number, when it was sent
TAIL = 3
CONNECT_TIMEOUT = 20


class Datagrams:
    """Packets over UDP."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(address)
        self.socket.setblocking(False)

    def send(self, packet):
        try:
            self.socket.send(packet)
        except (BlockingIOError, ConnectionRefusedError):
            pass  # lost, as on any other line

    def receive(self):
        while True:
            try:
                yield self.socket.recv(65536)
            except BlockingIOError:
                return
            except ConnectionRefusedError:
                continue


class Messages:
    """Packets of one size over TCP."""

    def __init__(self, address, size):
        self.socket = socket.create_connection(address, CONNECT_TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.size, self.pending = size, b""

    def send(self, packet):
        self.socket.sendall(packet)

    def receive(self):
        self.pending += self.socket.recv(65536, socket.MSG_DONTWAIT)
        while len(self.pending) >= self.size:
            yield self.pending[:self.size]
            self.pending = self.pending[self.size:]


def collect(stream, rtts, until):
    """Takes what comes back until then."""
    while (left := until - time.monotonic()) > 0:
        if select.select([stream.socket], [], [], left)[0]:
            now = time.monotonic()
            for packet in stream.receive():
                number, sent = HEADER.unpack_from(packet)
                rtts.setdefault(number, (now - sent) * 1000)


def send(arguments):
    address = arguments.address, arguments.port
    stream = Messages(address, arguments.size) if arguments.tcp else Datagrams(address)
    rtts, first = {}, time.monotonic()
    total = arguments.skip + arguments.count
    for number in range(total):
        collect(stream, rtts, first + number * arguments.interval)
        stream.send(HEADER.pack(number, time.monotonic()).ljust(arguments.size, b"."))
    last = time.monotonic()
    while len(rtts) < total and time.monotonic() < last + TAIL:
        collect(stream, rtts, min(last + TAIL, time.monotonic() + arguments.interval))
    print(json.dumps({"sent": arguments.count, "rtts_ms": [round(rtts[number], 3) for number in sorted(rtts)
                                                           if number >= arguments.skip]}))


def serve_udp(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(address)
        while True:
            server.sendto(*server.recvfrom(65536))


def serve_tcp(address):
    with socket.create_server(address) as server:
        while True:
            connection, _ = server.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with connection:
                while data := connection.recv(65536):
                    connection.sendall(data)


def main():
    parser = argparse.ArgumentParser(prog="echo.py")
    parser.add_argument("role", choices=("serve", "send"))
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("--tcp", action="store_true")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--skip", type=int, default=0)
    parser.add_argument("--interval", type=float, default=0.02)
    parser.add_argument("--size", type=int, default=100)
    arguments = parser.parse_args()
    gc.disable()  # its pauses would be taken for the line's
    if arguments.role == "send":
        send(arguments)
    elif arguments.tcp:
        serve_tcp((arguments.address, arguments.port))
    else:
        serve_udp((arguments.address, arguments.port))


if __name__ == "__main__":
    main()
