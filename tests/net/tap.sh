#!/usr/bin/env bash
# The server's host is on the LAN without a client, and a client joins a real LAN to the virtual one.
#
#                                       +-- [tap lan]: srv-lan 172.20.0.254
#   pc1 --------------------+           |
#   pc2 --br0---------------+-- net -- server
#          +--port0 == eth0 of `printer` (172.20.0.77), which knows nothing of all this

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

make_net 2
add_ns printer
ip -n pc2 link add br0 type bridge || skip "no bridges in this kernel"
ip -n pc2 link add port0 type veth peer name eth0 netns printer
ip -n pc2 link set port0 master br0 up
ip -n pc2 link set br0 up
add_addresses pc2 br0 172.20.0.2/24
ip -n printer link set eth0 up
add_addresses printer eth0 172.20.0.77/24 fd20::77/64

server_ini -- pc1 pc2
cat >>"$RUN/server.ini" <<'END'
[tap lan]
device = srv-lan
address = 172.20.0.254/24, fd20::fe/64
END
client_ini pc1
client_ini pc2 tap.bridge=br0
check_not "no LAN without the switch" can_ping pc1 172.20.0.77

start_server
check "the server's own device is up" grep -q 172.20.0.254 <(ip -n server addr show srv-lan)
start_client pc1 pc2
for pc in pc1 pc2; do
	wait_for "$pc is up" 15 port_is "$pc" up
done
check "the LAN device of pc2 is a port of its bridge" grep -q "master br0" <(ip -n pc2 link show lan0)
check "pc1 reaches the server's host" can_ping pc1 172.20.0.254
check "the server's host reaches pc1" can_ping server "$(lan_ip pc1)"
check "... over IPv6 too" can_ping server "$(lan_ip6 pc1)" -6
check "pc1 reaches the printer behind pc2" can_ping pc1 172.20.0.77
check "the printer reaches pc1" can_ping printer "$(lan_ip pc1)"
check "the printer reaches the server's host" can_ping printer 172.20.0.254
check "the printer is reached over IPv6" can_ping pc1 fd20::77 -6
check "full frames to the printer" ping_all pc1 172.20.0.77 5 -M "do" -s 1472
check "pc1 reaches pc2 at its bridge" can_ping pc1 "$(lan_ip pc2)"

stop pc2 || fail "pc2 ends with status 0"
check_not "pc2 has taken its device out of the bridge" ip -n pc2 link show lan0
check "the bridge is as it was" can_ping pc2 172.20.0.77
stop server || fail "the server ends with status 0"
check_not "the server has taken its device along" ip -n server link show srv-lan

finish
