#!/usr/bin/env bash
# kill -9 of the server, the client or both leaves nothing that prevents the next start, and links come back by
# themselves. Required: traffic flows again in under 3 s from when the server listens, whether the client was idle or
# busy, in both directions. The one test that a clock decides.
#
#   pc1 (idle) --+
#   pc2 (idle) --+-- net -- server (killed)
#   pc3 (busy) --+
#   pc4 (busy) --+

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need ss

start_lan 4
for pc in pc2 pc3 pc4; do
	check "pc1 reaches $pc" can_ping pc1 "$(lan_ip "$pc")"
done

start_pings to-pc4 pc3 "$(lan_ip pc4)"
start_pings to-pc3 pc4 "$(lan_ip pc3)"
wait_for "pc3 and pc4 are busy" 10 answered_since to-pc4 0

idle_are_up() {
	port_is pc1 up && port_is pc2 up
}

talk_both_ways() {
	in_ns pc1 ping -n -q -c 1 -W 1 "$(lan_ip pc2)" && in_ns pc2 ping -n -q -c 1 -W 1 "$(lan_ip pc1)"
}

# restart SECONDS: the server is away for so long. (Time that passes is what is tested here: clients back off.)
restart() {
	local what="after $1 s without a server" since

	crash server
	check_not "the server is gone" server_listens
	sleep "$1"
	background server server "$VSWITCHS" run -c "$RUN/server.ini"
	until server_listens; do
		running server || fail "the server starts after kill -9"
		sleep 0.01
	done
	since=$(usec)
	recovers_within "$what, busy: pc3 to pc4" 3 "$since" answered_since to-pc4 "$since"
	recovers_within "$what, busy: pc4 to pc3" 3 "$since" answered_since to-pc3 "$since"
	recovers_within "$what, idle: links are up" 3 "$since" idle_are_up
	recovers_within "$what, idle: pc1 and pc2 both ways" 3 "$since" talk_both_ways
}

restart 0
restart 7

# --- A client is killed: the kernel takes its device away ---
crash pc1
device_is_gone() {
	! ip -n pc1 link show lan0
}
wait_for "its device is gone" 10 device_is_gone
start_client pc1
wait_for "pc1 is back" 15 can_ping pc1 "$(lan_ip pc2)"
wait_for "... in the other direction too" 5 can_ping pc2 "$(lan_ip pc1)"

# --- Both ---
crash pc2
crash server
start_server
start_client pc2
wait_for "server and pc2 are back" 15 can_ping pc1 "$(lan_ip pc2)"

stop to-pc3 || true
stop to-pc4 || true
finish
