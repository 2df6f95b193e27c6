#!/usr/bin/env python3
"""vlan_arping.py DEVICE VLAN OWN_IP IP: asks by ARP, in frames tagged with the VLAN, who has an address, and waits for an
answer with the same tag. Exit status 0: it has come; 1: it has not. Needs no VLAN device."""
import select
import socket
import struct
import sys
import time

SOL_PACKET = 263
PACKET_AUXDATA = 8
TP_STATUS_VLAN_VALID = 1 << 4
ETH_P_ALL = 3
ETH_P_ARP = 0x0806
ETH_P_8021Q = 0x8100
ARP_REQUEST, ARP_REPLY = 1, 2
ATTEMPTS, PATIENCE = 3, 0.5


def request(mac, vlan, own_ip, ip):
    arp = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, ARP_REQUEST, mac, socket.inet_aton(own_ip), bytes(6),
                      socket.inet_aton(ip))
    return struct.pack("!6s6sHHH", b"\xff" * 6, mac, ETH_P_8021Q, vlan, ETH_P_ARP) + arp + bytes(18)


def tag_of(ancillary):
    """The kernel takes the tag out of the frame and puts it beside it."""
    for level, kind, data in ancillary:
        if level == SOL_PACKET and kind == PACKET_AUXDATA:
            status, _, _, _, _, tci, _ = struct.unpack("=IIIHHHH", data[:20])
            return tci & 0xFFF if status & TP_STATUS_VLAN_VALID else None
    return None


def is_reply(frame, ip):
    if len(frame) < 42 or frame[12:14] != struct.pack("!H", ETH_P_ARP):
        return False
    return frame[20:22] == struct.pack("!H", ARP_REPLY) and frame[28:32] == socket.inet_aton(ip)


def answered(sock, vlan, ip):
    deadline = time.monotonic() + PATIENCE
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([sock], [], [], left)[0]:
            break
        frame, ancillary, _, _ = sock.recvmsg(2048, 256)
        if is_reply(frame, ip) and tag_of(ancillary) == vlan:
            return True
    return False


def main(device, vlan, own_ip, ip):
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    sock.bind((device, ETH_P_ALL))
    mac = sock.getsockname()[4]
    for _ in range(ATTEMPTS):
        sock.send(request(mac, int(vlan), own_ip, ip))
        if answered(sock, int(vlan), ip):
            return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
