#!/usr/bin/env bash
# Fake TCP, and somebody on the way who sees its segments and forges others: resets, ends, windows, numbers, noise,
# fragments, options. Nothing of it loses a frame or the connection. A flood of SYNs does not keep a member out.
#
#   pc1 --up0--+
#   pc2 --up0--+-- net (the forger) -- server

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need python3

forge() { # KIND [--count N]
	in_ns net python3 "$VS_NET_DIR/forged.py" srv "$SERVER_IP" "$SERVER_PORT" "$@"
}
# survives KIND: a ping goes through, again and again, while segments of the kind are sent.
survives() {
	local pinger

	in_ns pc1 ping -n -q -c 60 -i 0.02 -W 5 "$(lan_ip pc2)" >"$RUN/ping.log" &
	pinger=$!
	forge "$1" --count 8 >"$RUN/forge.log" || return 1
	wait "$pinger"
	grep -q " 60 received" "$RUN/ping.log" && (($(<"$RUN/forge.log") == 16))
}

make_net 2
server_ini -- pc1 pc2
client_ini pc1 carrier=faketcp
client_ini pc2
start_server
start_client pc1 pc2
wait_for "pc1 is up" 15 port_has pc1 '.state == "up" and .carrier == "faketcp"'
wait_for "pc2 is up" 15 port_is pc2 up
wait_for "pings" 5 can_ping pc1 "$(lan_ip pc2)"
before=$(port_value pc1 address)
for kind in $(forge list); do
	check "forged segments, $kind: every ping is answered" survives "$kind"
done
check "pc1 has still the same connection" test "$(port_value pc1 address)" = "$before"
check "... and has not taken it for lost" test "$(grep -c "nothing comes through it\|no answer from" "$RUN/pc1.log")" = 0
# What the forged numbers had moved is back after a second at most.
wait_for "pings of full frames" 5 ping_all pc1 "$(lan_ip pc2)" 50 -s 1472

# --- SYNs ---
background flood net python3 "$VS_NET_DIR/forged.py" srv "$SERVER_IP" "$SERVER_PORT" flood --count 1000000
check "a member is not disturbed by a flood of SYNs" ping_all pc1 "$(lan_ip pc2)" 50
stop pc1 || fail "pc1 ends"
start_client pc1
wait_for "... and another comes in" 20 port_has pc1 '.state == "up" and .carrier == "faketcp"'
wait_for "... and talks" 5 can_ping pc1 "$(lan_ip pc2)"
check "... while it goes on" running flood
stop flood KILL || true

finish
