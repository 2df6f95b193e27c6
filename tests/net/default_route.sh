#!/usr/bin/env bash
# A default route over the LAN (a member shares its Internet, by DHCP or by hand) must not swallow the path to the
# server, which the LAN itself needs.
#
#   pc1 --up0-- net -- server       default route of pc1: up0, then lan0
#   pc2 --up0--+                    pc2: the gateway, 172.20.0.2

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

make_net 2
server_ini -- pc1 pc2
client_ini pc1
client_ini pc2
check_not "no LAN without the switch" can_ping pc1 "$(lan_ip pc2)"
start_server
start_client pc2
wait_for "pc2 is up" 15 port_is pc2 up

route_over_lan() {
	ip -n pc1 route replace default via "$(lan_ip pc2)" dev lan0 metric 0
	ip -n pc1 route replace default via 10.1.1.1 dev up0 metric 100
}

# For some keepalives, so that a link that has lost its path would be noticed.
keeps_working() {
	ping_all pc1 "$(lan_ip pc2)" 200
}

# --- By the device ---
client_ini pc1 bind_interface=up0
start_client pc1
wait_for "bind_interface: pc1 is up" 15 port_is pc1 up
route_over_lan
check "the default route leads over the LAN" grep -q lan0 <(ip -n pc1 route get $SERVER_IP)
check "the link goes on" keeps_working
check "... and can be made anew" "$VSWITCHS" kick pc1 -c "$RUN/server.ini"
wait_for "... under that route" 20 can_ping pc1 "$(lan_ip pc2)"
stop pc1 || fail "pc1 ends with status 0"

# --- By policy routing ---
ip -n pc1 route replace default via 10.1.1.1 table 51
ip -n pc1 rule add fwmark 51 lookup 51
client_ini pc1 fwmark=51
start_client pc1
wait_for "fwmark: pc1 is up" 15 port_is pc1 up
route_over_lan
check "the link goes on" keeps_working
"$VSWITCHS" kick pc1 -c "$RUN/server.ini" >/dev/null
wait_for "... and can be made anew under that route" 20 can_ping pc1 "$(lan_ip pc2)"
stop pc1 || fail "pc1 ends with status 0"

# --- By neither: it is said, and works again when the route is gone ---
client_ini pc1
start_client pc1
wait_for "neither: pc1 is up" 15 port_is pc1 up
: >"$RUN/pc1.log"
route_over_lan
says_so() {
	grep -q bind_interface "$RUN/pc1.log" || ask_client pc1 | jq -e '.last_error // "" | test("bind_interface")'
}
wait_for "the client says what is wrong and what helps" 40 says_so
ip -n pc1 route del default via "$(lan_ip pc2)" dev lan0
wait_for "without that route it works again" 40 can_ping pc1 "$(lan_ip pc2)"

finish
