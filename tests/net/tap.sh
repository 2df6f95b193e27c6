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

# --- The server's own device, changed while it runs ---
head -n "$(($(grep -n '^\[tap lan\]' "$RUN/server.ini" | cut -d: -f1) - 1))" "$RUN/server.ini" >"$RUN/members.keep"
# set_tap LINE...: a [tap lan] of these keys.
set_tap() {
	{
		cat "$RUN/members.keep"
		printf '%s\n' "[tap lan]" "device = srv-lan" "$@"
	} >"$RUN/server.ini"
}
device_number() {
	ip -n server -j link show srv-lan | jq '.[0].ifindex'
}
reload_says() {
	reload_server | grep -qx "$1"
}
number=$(device_number)
address="address = 172.20.0.254/24, fd20::fe/64"
set_tap "$address" "vlan = 5"
check "a change of VLANs is a change" reload_says "changed: lan"
check "... of the same device" test "$(device_number)" = "$number"
check "... which is in the VLAN" port_has lan '.vlan == 5'
check_not "... apart from the others" can_ping pc1 172.20.0.254

cat >"$RUN/slow" <<END
#!/bin/sh
touch $RUN/slow-runs
until test -e $RUN/slow-may-end; do sleep 0.05; done
END
chmod 755 "$RUN/slow"
set_tap "$address" "down = $RUN/slow"
check "a device of other keys is a change, not a new one" reload_says "changed: lan"
check_not "... and is made anew" test "$(device_number)" = "$number"
set_tap "$address" "mtu = 1400"
reload_server >"$RUN/reload.out"
check "a slow down script is told of" grep -qx "waiting for a script to end: lan" "$RUN/reload.out"
wait_for "... while it runs" 5 test -e "$RUN/slow-runs"
check "... and not waited for" port_is lan waiting
check "... so that the switch goes on" can_ping pc1 "$(lan_ip pc2)"
check "another reload waits, too" reload_says "waiting for a script to end: lan"
touch "$RUN/slow-may-end"
wait_for "the device comes when the script has ended" 10 port_is lan up
check "... with its new MTU" grep -q "mtu 1400" <(ip -n server link show srv-lan)
wait_for "... and works" 5 can_ping pc1 172.20.0.254

set_tap "bridge = nobr"
check_not "a reload whose device cannot be made fails" reload_server
reload_server >"$RUN/reload.out" 2>&1 || true
check "... and says why" grep -q "lan could not be taken up: .*nobr" "$RUN/reload.out"
check "... as the ports do" port_has lan '.state == "gone" and (.why | test("nobr"))'
set_tap "$address"
check "the right file is taken again" reload_says "changed: lan"
check "... and the device is back" can_ping pc1 172.20.0.254

stop pc2 || fail "pc2 ends with status 0"
check_not "pc2 has taken its device out of the bridge" ip -n pc2 link show lan0
check "the bridge is as it was" can_ping pc2 172.20.0.77
stop server || fail "the server ends with status 0"
check_not "the server has taken its device along" ip -n server link show srv-lan

finish
