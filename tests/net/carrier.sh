#!/usr/bin/env bash
# What the link travels in: TCP where the client says so; UDP, else fake TCP, else TCP, where it may choose (`auto`), and
# back, without losing a connection that goes through it. What strangers may do to the TCP port.
#
#   pc1 --up0--+
#   pc2 --up0--+-- net -- server
#
# Carriers are taken away by a filter in net, as a firewall on the way would.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need iperf3 nft socat

TCP_PORT=$((SERVER_PORT + 1))

# block CARRIER...: what these send is dropped on its way, in one direction at least; all others pass. None: all pass.
# `udp-data` lets the handshakes through.
block() {
	local carrier

	in_ns net nft "table inet fw; delete table inet fw; table inet fw {
		chain forwarded { type filter hook forward priority 0; }; }"
	for carrier; do
		case $carrier in
		udp) in_ns net nft add rule inet fw forwarded meta l4proto udp drop ;;
		faketcp) in_ns net nft add rule inet fw forwarded tcp dport "$SERVER_PORT" drop ;;
		udp-data) in_ns net nft add rule inet fw forwarded meta l4proto udp @th,64,8 4 drop ;;
		tcp) in_ns net nft add rule inet fw forwarded tcp dport "$TCP_PORT" drop ;;
		esac
	done
}

goes_over() {
	port_has "$1" ".carrier == \"$2\"" && ask_client "$1" | jq -e --arg c "$2" '.carrier == $c'
}

listens_for_all() {
	ask_server status | jq -e --argjson p "$SERVER_PORT" '.faketcp_port == $p and .tcp_port == $p + 1'
}

bits_per_second() {
	jq '.end.sum_received.bits_per_second // 0 | floor' "$1"
}

measure() {
	in_ns pc1 iperf3 -c "$(lan_ip pc2)" -t 2 -J "$@" >"$RUN/iperf.json" || return 1
	(($(bits_per_second "$RUN/iperf.json") > 5000000))
}

make_net 2
server_ini -- pc1 pc2
client_ini pc1 carrier=tcp
client_ini pc2 carrier=udp
start_server
start_client pc1 pc2
wait_for "pc1 is up by TCP" 15 port_is pc1 up
wait_for "pc2 is up by UDP" 15 port_is pc2 up
check "the server says where it listens for TCP" listens_for_all
check "pc1 goes over TCP, as both ends say" goes_over pc1 tcp
check "pc2 goes over UDP, as both ends say" goes_over pc2 udp
check "TCP to UDP: pings" ping_all pc1 "$(lan_ip pc2)" 50
check "... of full frames" ping_all pc1 "$(lan_ip pc2)" 20 -s 1472 -M "do"
background iperf3 pc2 iperf3 -s
wait_for "iperf3 listens" 5 listens pc2 5201
check "TCP to UDP: a connection" measure
check "UDP to TCP: a connection" measure -R
echo "# $(bits_per_second "$RUN/iperf.json") bit/s"

# --- The connection is reset: a new one, and the link goes on ---
conn_has_ended() {
	grep -q "the TCP connection to the server has ended" "$RUN/pc1.log"
}
conn_is_new() {
	local now

	now=$(port_value pc1 address)
	[[ $now != "$before" ]] && can_ping pc1 "$(lan_ip pc2)"
}
before=$(port_value pc1 address)
start_pings across pc1 "$(lan_ip pc2)"
wait_for "pc1 talks" 5 answered_since across 0
handshakes=$(port_value pc1 handshakes)
since=$(usec)
in_ns pc1 ss -K dst "$SERVER_IP" dport = "$TCP_PORT" >/dev/null 2>&1 || true
if wait_until 2 conn_has_ended; then
	recovers_within "pc1 has another connection" 3 "$since" conn_is_new
	check "... and the same link" test "$(port_value pc1 handshakes)" = $((handshakes + 1))
else
	echo "# this kernel does not let ss -K kill sockets: a reset is not tested here"
fi
stop across || true

# --- The server goes and comes ---
crash server
start_server
wait_for "pc1 is up again after the server's crash" 20 port_is pc1 up
wait_for "... and pc2" 20 port_is pc2 up
check "pc1 goes over TCP again" goes_over pc1 tcp
wait_for "pings again" 10 can_ping pc1 "$(lan_ip pc2)"

# --- Strangers ---
silent() {
	in_ns pc2 timeout 20 socat -u "TCP:$SERVER_IP:$TCP_PORT" STDOUT >/dev/null 2>&1
}
start=$SECONDS
silent || true
took=$((SECONDS - start))
check "who says nothing is hung up on after 5 s (took $took)" test "$took" -ge 4 -a "$took" -le $((8 * VS_SLOW))
for n in {1..8}; do
	background "stranger$n" pc2 socat -u "TCP:$SERVER_IP:$TCP_PORT" STDOUT
done
strangers() {
	(($(in_ns pc2 ss -Htn state established "dport = :$TCP_PORT" | wc -l) == $1))
}
wait_for "eight strangers of one address wait" 3 strangers 8
start=$(usec)
silent || true
check "the ninth is refused at once" test $(($(usec) - start)) -lt 2000000
check "a member is not disturbed" can_ping pc1 "$(lan_ip pc2)"
for n in {1..8}; do
	stop "stranger$n" || true
done
garbage() {
	head -c 20000 /dev/urandom | in_ns pc2 timeout 3 socat -t 0 - "TCP:$SERVER_IP:$TCP_PORT" >/dev/null 2>&1
}
start=$(usec)
garbage || true
check "who sends garbage is hung up on at once" test $(($(usec) - start)) -lt 2000000
check "... and nobody else" can_ping pc1 "$(lan_ip pc2)"
check "pc1 has still the same connection" goes_over pc1 tcp

# --- auto ---
stop pc1 || fail "pc1 ends"
client_ini pc1 carrier=auto
block udp faketcp
start_client pc1
wait_for "without UDP and fake TCP, pc1 comes up" 20 port_is pc1 up
check "... by TCP" goes_over pc1 tcp
block
wait_for "pc2, which is fixed to UDP, is back" 20 port_is pc2 up
wait_for "pc1 returns to UDP" 40 goes_over pc1 udp
# Until then it is on trial.
back_on_udp() {
	(($(grep -c "the link is back on UDP" "$RUN/pc1.log") == $1))
}
wait_for "the log says so" 5 back_on_udp 1
check "pings by UDP" can_ping pc1 "$(lan_ip pc2)"

# UDP that lets handshakes through and nothing else.
stop pc1 || fail "pc1 ends"
block udp-data faketcp
start_client pc1
wait_for "pc1 comes up" 20 port_is pc1 up
wait_for "... by TCP, though handshakes by UDP succeed" 20 goes_over pc1 tcp
falls_for_it() {
	grep -q "UDP to the server does not work after all: back to TCP" "$RUN/pc1.log"
}
wait_for "pc1 tries UDP, and goes back" 30 falls_for_it
block
wait_for "pc1 returns to UDP when it works" 60 goes_over pc1 udp
wait_for "... for good" 5 back_on_udp 2

# A connection lives through it all: UDP goes, and comes back.
stop pc1 || fail "pc1 ends"
stop pc2 || fail "pc2 ends"
client_ini pc2 carrier=tcp
start_client pc1 pc2
wait_for "pc1 is up by UDP" 15 goes_over pc1 udp
wait_for "pc2 is up by TCP" 15 goes_over pc2 tcp
background long pc1 iperf3 -c "$(lan_ip pc2)" -t 40 -b 4M -J --logfile "$RUN/long.json"
wait_for "a connection goes through the link" 5 in_ns pc2 ss -Htn state established "sport = :5201"
block udp
since=$(usec)
recovers_within "pc1 falls back to fake TCP" 8 "$since" goes_over pc1 faketcp
check "the log says so loudly" grep -q "UDP to the server has stopped working: trying fake TCP, then TCP" "$RUN/pc1.log"
check "... and where the link goes" grep -q "the link now goes over fake TCP" "$RUN/pc1.log"
block udp faketcp
since=$(usec)
recovers_within "pc1 falls back to TCP" 8 "$since" goes_over pc1 tcp
block udp
wait_for "pc1 returns to fake TCP" 30 goes_over pc1 faketcp
block
wait_for "pc1 returns to UDP" 60 goes_over pc1 udp
wait_for "the connection through the link ends" 45 gone long
check "the connection through the link has lived" test "$(bits_per_second "$RUN/long.json")" -gt 2000000
check "the link is the same" test "$(port_value pc1 moves)" -ge 4

# --- What the port allows ---
server_ini -- "pc1:carrier=tcp" pc2
check "pc1's port is for TCP only from now on" reload_server
wait_for "pc1, which takes any, moves there" 15 goes_over pc1 tcp
check "pings by TCP" can_ping pc1 "$(lan_ip pc2)"
stop pc1 || fail "pc1 ends"
client_ini pc1 carrier=udp
start_client pc1
complains() {
	grep -q "not connected: the server's port allows carrier = tcp, but here it is udp" "$RUN/pc1.log"
}
wait_for "pc1, which takes UDP only, says why it does not connect" 10 complains
check "... and so does the server" grep -q "pc1: the client dials over udp, which the port's carrier does not allow" \
	"$RUN/server.log"
check_not "... and does not" port_is pc1 up
stop pc1 || fail "pc1 ends"
client_ini pc1
start_client pc1
wait_for "pc1, which takes any, connects again" 15 port_is pc1 up
check "... by TCP" goes_over pc1 tcp

# --- The port takes back what a live link goes by ---
server_ini -- pc1 pc2
check "reload" reload_server
stop pc1 || fail "pc1 ends"
client_ini pc1 carrier=udp
start_client pc1
wait_for "pc1 connects by UDP" 15 goes_over pc1 udp
server_ini -- "pc1:carrier=faketcp" pc2
check "pc1's port is for fake TCP only from now on" reload_server
wait_for "pc1, which takes UDP only, is soon cut off" 20 port_is pc1 waiting
check "... as the server's log says" grep -q "pc1: link to .* ended: the client does not take the port's new terms" \
	"$RUN/server.log"
check "... and pc1's" grep -q "the server's port allows carrier = faketcp, but here it is udp" "$RUN/pc1.log"
stop pc1 || fail "pc1 ends"
server_ini -- pc1 pc2
check "reload" reload_server
client_ini pc1
start_client pc1
wait_for "pc1, which takes any, connects by UDP" 15 goes_over pc1 udp
handshakes=$(port_value pc1 handshakes)
server_ini -- "pc1:carrier=faketcp" pc2
since=$(usec)
check "reload: fake TCP only" reload_server
recovers_within "pc1 moves at once" 3 "$since" goes_over pc1 faketcp
check "... with the link that it has" test "$(port_value pc1 handshakes)" -gt "$handshakes"
check "pings by fake TCP" can_ping pc1 "$(lan_ip pc2)"

finish
