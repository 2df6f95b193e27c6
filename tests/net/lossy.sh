#!/usr/bin/env bash
# A line that loses every twentieth packet: the LAN on top of it loses none.
#
#   pc1 ==linkemu: 5 % loss in bursts, 10 ms, jitter, some reordering and duplicates==+
#                                                                                     +-- net -- server
#   pc2 ------------------------------------------------------------------------------+

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need iperf3

make_net 2
line pc1 --delay 10ms --jitter 1ms --jitter-order free --loss 5% --burst 2 --dup 1% --reorder 1% --reorder-delay 3ms \
	--rate 100mbit --seed 20
server_ini -- pc1 pc2
client_ini pc1
client_ini pc2
check_not "the bare line loses packets" ping_all pc1 $SERVER_IP 200
check_not "no LAN without the switch" can_ping pc1 "$(lan_ip pc2)"

start_server
start_client pc1 pc2
for pc in pc1 pc2; do
	wait_for "$pc is up" 30 port_is "$pc" up
done
wait_for "pc1 reaches pc2" 10 can_ping pc1 "$(lan_ip pc2)"
check "of 300 pings none is lost" ping_all pc1 "$(lan_ip pc2)" 300
check "of 300 pings the other way neither" ping_all pc2 "$(lan_ip pc1)" 300

background iperf-server pc2 iperf3 -s
wait_until 10 listens pc2 5201 || fail "iperf3 listens"
for way in "" -R; do
	# shellcheck disable=SC2086 # an option or nothing
	check "5 MB by TCP ${way:+the other way}" in_ns pc1 timeout $((60 * VS_SLOW)) \
		iperf3 -J -c "$(lan_ip pc2)" -n 5M $way --logfile "$RUN/iperf$way.json"
	echo "# $(jq '.end.sum_received.bits_per_second / 1e5 | floor / 10' "$RUN/iperf$way.json") Mbit/s"
done
check "the line did lose packets" test "$(line_stat pc1 .up.lost)" -gt 100

# --- An outage of two seconds ---
line_set pc1 off=yes
check_not "nothing passes a line that is cut" can_ping pc1 "$(lan_ip pc2)"
line_set pc1 off=no
wait_for "the link is back when the line is" 10 can_ping pc1 "$(lan_ip pc2)"

finish
