#!/usr/bin/env bash
# Members of the LAN reach each other: IPv4 (ARP), IPv6 (neighbour discovery), multicast; and only those whom it concerns
# see what is said.
#
#   pc1 --up0--+
#   pc2 --up0--+-- net -- server       lan0: 172.20.0.1, .2, .3 and fd20::1, ::2, ::3
#   pc3 --up0--+

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need tcpdump socat

start_lan 3
for from in pc1 pc2 pc3; do
	for to in pc1 pc2 pc3; do
		[[ $from != "$to" ]] || continue
		check "$from reaches $to over IPv4" can_ping "$from" "$(lan_ip "$to")"
		check "$from reaches $to over IPv6" can_ping "$from" "$(lan_ip6 "$to")" -6
	done
done
check "no ping is lost on a good line" ping_all pc1 "$(lan_ip pc2)" 100

# --- The MAC table ---
mac_of() {
	ip -n "$1" -j link show lan0 | jq -r '.[0].address'
}

mac_is_behind() {
	ask_server macs | jq -e --arg m "$(mac_of "$1")" --arg p "$1" '.macs | any(.mac == $m and .port == $p)'
}

for pc in pc1 pc2 pc3; do
	check "the server knows the MAC address of $pc" mac_is_behind "$pc"
done

# --- Unicast is not flooded ---
background eavesdrop pc3 tcpdump -n -l -i lan0 -w "$RUN/pc3.pcap" -U icmp
wait_until 10 grep -q listening "$RUN/eavesdrop.log" || fail "tcpdump starts"
check "pc1 and pc2 talk" ping_all pc1 "$(lan_ip pc2)" 20
check "pc1 and pc3 talk" ping_all pc1 "$(lan_ip pc3)" 5
captured() {
	tcpdump -n -r "$RUN/pc3.pcap" "$@" 2>/dev/null | wc -l
}
has_captured() {
	(($(captured host "$(lan_ip pc3)") >= 10))
}
wait_for "pc3 sees its own talk" 5 has_captured
check "... and nothing of the others'" test "$(captured host "$(lan_ip pc2)")" = 0
stop eavesdrop || true

# --- Multicast ---
for pc in pc2 pc3; do
	background "group-$pc" "$pc" socat -u "UDP4-RECV:5000,ip-add-membership=239.1.2.3:lan0" STDOUT
done
say_to_group() {
	echo hello-group | in_ns pc1 socat -u STDIN "UDP4-DATAGRAM:239.1.2.3:5000,ip-multicast-if=$(lan_ip pc1)"
	grep -q hello-group "$RUN/group-pc2.log" && grep -q hello-group "$RUN/group-pc3.log"
}
wait_for "both listeners of an IPv4 group hear what is said to it" 10 say_to_group

all_nodes_answer() {
	local answers

	answers=$(in_ns pc1 ping -6 -n -c 3 -i 0.2 -W 1 ff02::1%lan0 | sed -n 's/.*from \([^% ]*\).*: icmp.*/\1/p' | sort -u)
	(($(wc -l <<<"$answers") >= 3)) # pc1 itself, pc2, pc3
}
wait_for "all nodes answer to ff02::1" 10 all_nodes_answer

finish
