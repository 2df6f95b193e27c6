#!/usr/bin/env bash
# A key that is taken out of the server's file counts no more from the next reload on, and the other links notice nothing.
#
#   pc1 --+
#   pc2 --+-- net -- server       pc2 is revoked
#   pc3 --+

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

start_lan 3
check "pc1 reaches pc2" can_ping pc1 "$(lan_ip pc2)"
handshakes=$(port_value pc1 handshakes)
cp "$RUN/server.ini" "$RUN/server-all.keep"

# Fifty pings a second run through all that follows, and none may be lost.
background bystander pc1 ping -n -q -i 0.02 "$(lan_ip pc3)"

server_ini -- pc1 pc3
check "reload" reload_server
check_not "pc2 has no port any more" port_is pc2 up
check_not "pc1 does not reach pc2" can_ping pc1 "$(lan_ip pc2)"
check_not "pc2 does not reach pc3" can_ping pc2 "$(lan_ip pc3)"

unknown_key() {
	ask_server status | jq -e '.drops | to_entries | any(.key | ascii_downcase | test("unknown.?key"))'
}
told_so() {
	grep -q "no longer names a port" "$RUN/pc2.log"
}
wait_for "pc2 is told why" 10 told_so
check "... and does not give up for ever" running pc2
stop pc2 || fail "pc2 ends with status 0"
start_client pc2
wait_for "started again, it dials and is turned away" 20 unknown_key
check_not "... and stays out" port_is pc2 up

cp "$RUN/server-all.keep" "$RUN/server.ini"
check "reload with pc2's key" reload_server
wait_for "pc2 is let in again" 30 can_ping pc2 "$(lan_ip pc3)"

stop bystander INT || true
check "the others' link has lost nothing" grep -q ' 0% packet loss' "$RUN/bystander.log"
check "... and is the one it was" test "$(port_value pc1 handshakes)" = "$handshakes"

finish
