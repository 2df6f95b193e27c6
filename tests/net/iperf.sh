#!/usr/bin/env bash
# Bulk traffic passes in both directions: TCP and UDP, by a real iperf3. The figures are for reading, not for judging.
#
#   pc1 (iperf3 -s) --+
#                     +-- net -- server
#   pc2 (iperf3 -c) --+

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need iperf3

start_lan 2
background iperf-server pc1 iperf3 -s
wait_for "iperf3 listens" 10 listens pc1 5201

transfer() {
	in_ns pc2 timeout $((60 * VS_SLOW)) iperf3 -J -c "$(lan_ip pc1)" "$@" >"$RUN/iperf.json"
}

# passes WHAT JQ-CONDITION IPERF-OPTION...
passes() {
	local what=$1 condition=$2

	shift 2
	check "$what" transfer "$@"
	check "... $(jq -r '(.end.sum_received // .end.sum).bits_per_second / 1e6 | floor' "$RUN/iperf.json") Mbit/s" \
		jq -e "$condition" "$RUN/iperf.json"
}

passes "TCP to the server" '.end.sum_received.bytes > 1e6' -t 2
passes "TCP from the server" '.end.sum_received.bytes > 1e6' -t 2 -R
passes "four TCP streams both ways" '.end.sum_received.bytes > 1e6' -t 2 -P 4 --bidir
passes "TCP over IPv6" '.end.sum_received.bytes > 1e6' -t 1 -6 -c "$(lan_ip6 pc1)"
passes "UDP to the server" '.end.sum.packets > 1000 and .end.sum.lost_percent < 5' -u -b 10M -l 1400 -t 2
passes "UDP from the server" '.end.sum.packets > 1000 and .end.sum.lost_percent < 5' -u -b 10M -l 1400 -t 2 -R
passes "small UDP" '.end.sum.packets > 1000 and .end.sum.lost_percent < 5' -u -b 2M -l 64 -t 2
check "the link survives more UDP than it can carry" transfer -u -b 2G -l 1400 -t 2
wait_for "... and is usable right after" 10 can_ping pc2 "$(lan_ip pc1)"

finish
