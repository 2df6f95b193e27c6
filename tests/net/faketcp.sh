#!/usr/bin/env bash
# Fake TCP: through a firewall that lets only sane TCP connections pass, with masquerade, and with the same rules on the
# hosts at both ends; by IPv4 and IPv6. What is on the line is a TCP connection to which tshark has no objection, and
# of which neither kernel knows more. A crash leaves nothing behind, and the link comes back; so it does after a forged
# reset, which does nothing else. Without the capabilities, the error says which.
#
#   pc1 --up0--+
#   pc2 --up0--+-- net (nft: stateful filter, masquerade) -- server

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need iperf3 nft tcpdump tshark python3 setpriv

# Whatever is not part of an established TCP connection, or of one that begins, is dropped and counted.
firewall() {
	local ns=$1 hook

	in_ns "$ns" nft add table inet fw
	for hook in input output forward; do
		in_ns "$ns" nft add chain inet fw "$hook" "{ type filter hook $hook priority 0; policy drop; }"
		in_ns "$ns" nft add rule inet fw "$hook" meta l4proto ipv6-icmp accept
		in_ns "$ns" nft add rule inet fw "$hook" iifname lan0 accept
		in_ns "$ns" nft add rule inet fw "$hook" oifname lan0 accept
		in_ns "$ns" nft add rule inet fw "$hook" ct state invalid counter drop
		in_ns "$ns" nft add rule inet fw "$hook" ct state established,related accept
		in_ns "$ns" nft add rule inet fw "$hook" tcp dport "$SERVER_PORT" "tcp flags & (syn | ack) == syn" accept
		in_ns "$ns" nft add rule inet fw "$hook" counter drop
	done
}
masquerade() {
	in_ns net nft add table inet nat
	in_ns net nft add chain inet nat post "{ type nat hook postrouting priority 100; }"
	in_ns net nft add rule inet nat post oifname srv masquerade
}
invalid_packets() {
	in_ns "$1" nft -j list table inet fw |
		jq '[.nftables[].rule? | select(. != null) | select([.expr[]?.match?.right?] | flatten | any(. == "invalid"))
			| .expr[].counter?.packets // empty] | add // 0'
}
goes_over_faketcp() {
	port_has "$1" '.carrier == "faketcp"' && ask_client "$1" | jq -e '.carrier == "faketcp"'
}
bits_per_second() {
	jq '.end.sum_received.bits_per_second // 0 | floor' "$1"
}
iperf() {
	in_ns pc1 iperf3 -c "$(lan_ip pc2)" -J "$@" >"$RUN/iperf.json" && (($(bits_per_second "$RUN/iperf.json") > 5000000))
}
kernel_connections() { # NS: of ours, what its kernel has, other than listeners
	in_ns "$1" ss -Htan "( sport = :$SERVER_PORT or dport = :$SERVER_PORT )" | grep -vc LISTEN || true
}
no_connections() {
	(($(kernel_connections "$1") == 0))
}

make_net 2
firewall net
firewall server
firewall pc1
masquerade
# On the clean line between firewall and server.
background tcpdump net tcpdump -Z root -U -i srv -s 160 -B 65536 -w "$RUN/line.pcap" tcp port "$SERVER_PORT"
wait_for "tcpdump listens" 10 grep -q "listening on" "$RUN/tcpdump.log"

server_ini -- pc1 pc2
client_ini pc1 carrier=faketcp
client_ini pc2 carrier=faketcp server_addr="$SERVER_IP6"
start_server
start_client pc1 pc2
wait_for "pc1 is up (IPv4)" 15 port_is pc1 up
wait_for "pc2 is up (IPv6)" 15 port_is pc2 up
check "pc1 goes over fake TCP, as both ends say" goes_over_faketcp pc1
check "pc2 does" goes_over_faketcp pc2
# shellcheck disable=SC2016 # these are awk's
hears_only_its_address() {
	in_ns pc1 awk 'FNR > 1 { split($2, at, ":"); others += at[1] ~ /^0+$/; n++ } END { exit !(n == 1 && !others) }' \
		/proc/net/raw
}
check "pc1's raw socket hears nothing but what comes to the address of its uplink" hears_only_its_address
check "pings" ping_all pc1 "$(lan_ip pc2)" 50
check "... of full frames" ping_all pc1 "$(lan_ip pc2)" 20 -s 1472 -M "do"
background iperf3 pc2 iperf3 -s
wait_for "iperf3 listens" 5 listens pc2 5201
check "a connection" iperf -t 3
echo "# $(bits_per_second "$RUN/iperf.json") bit/s"
check "... and back" iperf -t 3 -R
echo "# $(bits_per_second "$RUN/iperf.json") bit/s"
for ns in net server pc1; do
	check "conntrack of $ns found nothing invalid" test "$(invalid_packets $ns)" = 0
done

# --- What was on the line ---
stop tcpdump || true
echo "# $(grep dropped "$RUN/tcpdump.log")"
flags=(retransmission out_of_order ack_lost_segment lost_segment duplicate_ack spurious_retransmission window_full
	zero_window reused_ports)
# One line a packet: its length, SYN, ACK, RST, a timestamp, and what tshark finds wrong with it. The capture has cut the
# payloads off, so that checksums are for another.
tshark -r "$RUN/line.pcap" -o tcp.check_checksum:false -T fields -E separator=, -E occurrence=f -e tcp.len -e tcp.flags.syn \
	-e tcp.flags.ack -e tcp.flags.reset -e tcp.options.timestamp.tsval "${flags[@]/#/-etcp.analysis.}" \
	2>/dev/null | sed 's/True/1/g; s/False/0/g' >"$RUN/line.csv"
packets() { # CONDITION: how many meet it, in the terms of awk
	awk -F, "$1 { n++ } END { print n + 0 }" "$RUN/line.csv"
}
# shellcheck disable=SC2016 # these are awk's
{
	check "thousands of segments were seen" test "$(packets '$1 > 0')" -gt 2000
	for i in "${!flags[@]}"; do
		check "tshark sees no ${flags[i]}" test "$(packets "\$$((6 + i)) != \"\"")" = 0
	done
	check "no reset" test "$(packets '$4 == 1')" = 0
	check "the kernels have said nothing after the handshakes" \
		test "$(packets '$1 == 0 && $2 == 0')" = "$(packets '$2 == 1 && $3 == 0')"
	check "every segment has timestamps" test "$(packets '$5 == ""')" = 0
}
background whole net tcpdump -Z root -i srv -c 2000 -s 0 -w "$RUN/whole.pcap" tcp port "$SERVER_PORT"
wait_for "tcpdump listens again" 10 grep -q "listening on" "$RUN/whole.log"
check "more of a connection" iperf -t 2
stop whole || true
check "checksums hold" test "$(tshark -r "$RUN/whole.pcap" -o tcp.check_checksum:true \
	-Y "tcp.checksum.status != 1" 2>/dev/null | wc -l)" = 0

# --- Crashes ---
check "pc1 talks" can_ping pc1 "$(lan_ip pc2)"
start_pings across pc1 "$(lan_ip pc2)"
crash server
check "nothing of the server's connections is left" no_connections server
wait_for "the server's kernel resets, and pc1 has heard it" 5 \
	grep -q "fake TCP connection to the server is said to be reset" "$RUN/pc1.log"
stop across || true
start_server
since=$(usec)
recovers_within "pc1 is back after the server's crash" 10 "$since" can_ping pc1 "$(lan_ip pc2)"
check "... over fake TCP" goes_over_faketcp pc1
crash pc1
check "nothing of pc1's connections is left" no_connections pc1
start_client pc1
wait_for "pc1 is up again after its crash" 15 port_is pc1 up
wait_for "pings" 5 can_ping pc1 "$(lan_ip pc2)"
check "... over fake TCP" goes_over_faketcp pc1

# --- Without capabilities ---
stop pc1 || fail "pc1 ends"
without() { # CAPABILITY NS COMMAND...: in the background, as "poor"
	rm -f "$RUN/poor.log"
	background poor "$2" setpriv --bounding-set "-$1" --inh-caps "-$1" "${@:3}"
}
says_what_it_needs() {
	grep -q "fake TCP needs CAP_NET_RAW and CAP_NET_ADMIN" "$RUN/poor.log"
}
without net_raw pc1 "$VSWITCHC" run -c "$RUN/pc1.ini"
wait_for "without CAP_NET_RAW, the client says what it needs" 10 says_what_it_needs
stop poor || true
client_ini pc1 carrier=auto
in_ns server nft insert rule inet fw input udp dport "$SERVER_PORT" accept
in_ns net nft insert rule inet fw forward meta l4proto udp accept
in_ns pc1 nft insert rule inet fw output meta l4proto udp accept
without net_raw pc1 "$VSWITCHC" run -c "$RUN/pc1.ini"
wait_for "... and goes by UDP where it may choose" 20 port_has pc1 '.state == "up" and .carrier == "udp"'
stop poor || true
stop pc2 || fail "pc2 ends"
stop server || fail "the server ends"
for missing in net_raw net_admin; do
	server_ini faketcp_port=$SERVER_PORT -- pc1 pc2
	without $missing server "$VSWITCHS" run -c "$RUN/server.ini"
	wait_for "without CAP_${missing^^}, the server says what it needs" 10 says_what_it_needs
	check_not "... and does not start where fake TCP is asked for" stop poor
	server_ini -- pc1 pc2
	without $missing server "$VSWITCHS" run -c "$RUN/server.ini"
	wait_for "... and starts where it is not" 10 ask_server status
	check "... having said so" says_what_it_needs
	stop poor || fail "the server ends"
done
finish
