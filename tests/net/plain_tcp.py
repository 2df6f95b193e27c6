#!/usr/bin/env python3
"""A host on the virtual LAN that came in over a plain TCP stream of 0xBCBC frames: answers ARP and ping.

plain_tcp.py SERVER PORT IP [--cut N] [--then noise|flag|short|giant|control|super]

--cut N writes the stream in pieces of N bytes. --then: when a ping has been answered, sends what is no frame. Prints
"connected", "answered" after the first ping, and "closed" when the server has ended the connection, with status 3."""

import argparse
import os
import socket
import struct
import sys

FLAG = 0xBCBC
BAD = {
    "noise": os.urandom(64).replace(b"\xbc", b"\x00"),
    "flag": struct.pack(">HH", 0xBCBF, 60) + bytes(60),
    "short": struct.pack(">HH", FLAG, 13) + bytes(13),
    "giant": struct.pack(">HH", FLAG, 9023) + bytes(9023),
    "control": struct.pack(">HH", 0xBCBE, 3) + b"\x01\x01\x01",
    "super": struct.pack(">HI", 0xBCBD, 60) + bytes(10 + 60),
}


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(">%dH" % (len(data) // 2), data))
    while total > 0xFFFF:
        total = (total >> 16) + (total & 0xFFFF)
    return ~total & 0xFFFF


class Station:
    def __init__(self, args):
        self.ip = socket.inet_aton(args.ip)
        self.mac = b"\x02TCP\x00" + self.ip[3:]
        self.cut = args.cut
        self.answered = 0
        self.conn = socket.create_connection((args.server, args.port), timeout=60)
        self.conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def write(self, data):
        step = self.cut or len(data)
        for at in range(0, len(data), step):
            self.conn.sendall(data[at:at + step])

    def send(self, frame):
        frame = frame.ljust(60, b"\0")
        self.write(struct.pack(">HH", FLAG, len(frame)) + frame)

    def announce(self):
        """A gratuitous ARP: the first frame, by which the server knows us."""
        packet = struct.pack(">HHBBH", 1, 0x0800, 6, 4, 1) + self.mac + self.ip + bytes(6) + self.ip
        self.send(b"\xff" * 6 + self.mac + b"\x08\x06" + packet)

    def answer(self, frame):
        payload = frame[14:]
        if frame[12:14] == b"\x08\x06" and payload[6:8] == b"\0\1" and payload[24:28] == self.ip:
            packet = payload[:6] + b"\0\2" + self.mac + self.ip + payload[8:18]
            self.send(payload[8:14] + self.mac + b"\x08\x06" + packet)
        elif frame[12:14] == b"\x08\0" and frame[:6] == self.mac and payload[9] == 1 and payload[20] == 8:
            size = struct.unpack(">H", payload[2:4])[0]
            message = b"\0\0\0\0" + payload[24:size]
            message = message[:2] + struct.pack(">H", checksum(message)) + message[4:]
            header = payload[:10] + b"\0\0" + payload[16:20] + payload[12:16]
            header = header[:10] + struct.pack(">H", checksum(header)) + header[12:]
            self.send(frame[6:12] + self.mac + b"\x08\0" + header + message)
            self.answered += 1

    def frames(self):
        """Each frame that comes, until the connection ends."""
        stream = b""
        while True:
            try:
                data = self.conn.recv(65536)
            except ConnectionResetError:
                return
            if not data:
                return
            stream += data
            while len(stream) >= 4:
                flag, size = struct.unpack(">HH", stream[:4])
                if flag != FLAG:
                    sys.exit("flag %04x from the server" % flag)
                if len(stream) < 4 + size:
                    break
                yield stream[4:4 + size]
                stream = stream[4 + size:]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("server")
    parser.add_argument("port", type=int)
    parser.add_argument("ip")
    parser.add_argument("--cut", type=int, default=0)
    parser.add_argument("--then", choices=BAD)
    args = parser.parse_args()
    station = Station(args)
    print("connected", flush=True)
    station.announce()
    for frame in station.frames():
        station.answer(frame)
        if station.answered == 1:
            print("answered", flush=True)
            station.answered += 1
            if args.then:
                station.write(BAD[args.then])
    print("closed", flush=True)
    return 3


if __name__ == "__main__":
    sys.exit(main())
