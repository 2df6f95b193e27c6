#!/usr/bin/env bash
# A client's address changes under it: it moves to another network, or a NAT forgets it. Traffic flows again in under 3 s,
# in both directions, and no link is set up anew.
#
#   pc1 (10.1.1.2, then 10.1.1.9) -----+
#   pc2 ---NAT in net (192.0.2.254, ---+-- net -- server
#   |      then 192.0.2.253)           |
#   pc3 -------------------------------+

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

start_lan 3
handshakes=$(port_value pc1 handshakes)

address_is() {
	[[ $(port_value "$1" address) == "$2":* ]]
}

# --- Another address ---
check "pc1 dials from 10.1.1.2" address_is pc1 10.1.1.2
start_pings from-pc1 pc1 "$(lan_ip pc3)"
start_pings to-pc1 pc3 "$(lan_ip pc1)"
wait_for "pc1 and pc3 talk" 10 answered_since to-pc1 0
set_sysctl pc1 net/ipv4/conf/up0/promote_secondaries 1
ip -n pc1 addr add 10.1.1.9/24 dev up0
ip -n pc1 addr del 10.1.1.2/24 dev up0
ip -n pc1 route replace default via 10.1.1.1
since=$(usec)
recovers_within "pc1 to pc3 after the move" 3 "$since" answered_since from-pc1 "$since"
recovers_within "pc3 to pc1 after the move" 3 "$since" answered_since to-pc1 "$since"
check "the server has followed" address_is pc1 10.1.1.9
check "the link is the same" test "$(port_value pc1 handshakes)" = "$handshakes"
stop from-pc1 || true
stop to-pc1 || true

# --- An idle client whose NAT forgets ---
nat='table ip nat { chain post { type nat hook postrouting priority 100; oifname "srv" ip saddr 10.1.2.0/24 masquerade; }; }'
if type -P nft >/dev/null && in_ns net nft "$nat" 2>/dev/null; then
	stop pc2 || fail "pc2 ends"
	start_client pc2
	wait_for "pc2 is up behind the NAT" 15 address_is pc2 192.0.2.254
	before=$(port_value pc2 address)
	# The NAT's mappings go with its address, as at a home router's nightly reconnection.
	ip -n net addr add 192.0.2.253/24 dev srv
	set_sysctl net net/ipv4/conf/srv/promote_secondaries 1
	ip -n net addr del 192.0.2.254/24 dev srv
	ip -n server route replace default via 192.0.2.253
	since=$(usec)
	# Nobody speaks: the client has to notice by itself that it is known elsewhere now.
	recovers_within "the server has followed pc2 (from $before)" 3 "$since" address_is pc2 192.0.2.253
	recovers_within "pc3 to pc2 through the new NAT" 3 "$since" can_ping pc3 "$(lan_ip pc2)"
	check "pc2 to pc3" can_ping pc2 "$(lan_ip pc3)"
else
	echo "# no NAT here (nft): rebinding is not tested"
fi

finish
