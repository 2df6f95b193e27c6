#!/usr/bin/env bash
# The LAN carries frames of 1500 bytes that may not be fragmented, whatever the path to the server carries.
#
#   pc1 ==linkemu, larger packets vanish=========+
#   pc2 ==linkemu, the sender is told (ICMP)=====+
#   pc3 --veth with an MTU of 1280---------------+-- net -- server
#   pc4 --veth-----------------------------------+

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need iperf3

FULL=1472 # with 28 bytes of headers: 1500
members=(pc1 pc2 pc3 pc4)

make_net 4
line pc1 --mtu 1280
line pc2 --mtu 1280 --too-big icmp
ip -n net link set pc3 mtu 1280
ip -n pc3 link set up0 mtu 1280
server_ini -- "${members[@]}"
for pc in "${members[@]}"; do
	client_ini "$pc"
done

check "the line of pc1 carries 1280 bytes" can_ping pc1 $SERVER_IP -M "do" -s 1252
check_not "... and not one more" can_ping pc1 $SERVER_IP -M "do" -s 1253
check_not "no LAN without the switch" can_ping pc1 "$(lan_ip pc4)"

start_server
start_client "${members[@]}"
for pc in "${members[@]}"; do
	wait_for "$pc is up" 15 port_is "$pc" up
	check "the LAN device of $pc has an MTU of 1500" grep -q "mtu 1500" <(ip -n "$pc" link show lan0)
done
for from in "${members[@]}"; do
	for to in "${members[@]}"; do
		[[ $from != "$to" ]] || continue
		check "full frames from $from to $to" ping_all "$from" "$(lan_ip "$to")" 10 -M "do" -s $FULL
	done
done
check "full frames over IPv6" ping_all pc1 "$(lan_ip6 pc2)" 10 -6 -M "do" -s 1452
check_not "not larger than the LAN's MTU" can_ping pc1 "$(lan_ip pc4)" -M "do" -s $((FULL + 1))

wait_for "the server has found out that pc4's path carries more" 20 port_has pc4 '.datagram > 1300'
check "... and pc1's does not" port_has pc1 '.datagram <= 1252'

# --- The path shrinks under a link that is in use ---
line_set pc1 mtu=1500
stop pc1 || fail "pc1 ends"
start_client pc1
wait_for "pc1 is up again, with a wider path" 20 port_has pc1 '.datagram > 1300'
background iperf-server pc4 iperf3 -s -1
wait_until 10 listens pc4 5201 || fail "iperf3 listens"
background iperf pc1 iperf3 -c "$(lan_ip pc4)" -t 6 -J
wait_until 20 port_has pc1 '.rx_bytes > 1000000' || fail "the transfer starts"
line_set pc1 mtu=1280
wait_for "the server takes the shorter path into account" 20 port_has pc1 '.datagram <= 1252'
wait_for "the transfer through the shrinking path ends" 30 gone iperf
wait "${VS_PID[iperf]}" || fail "iperf3 succeeds"
check "full frames over the shrunken path" ping_all pc1 "$(lan_ip pc4)" 10 -M "do" -s $FULL
check "... in the other direction too" ping_all pc4 "$(lan_ip pc1)" 10 -M "do" -s $FULL
check "packets that were too big have vanished" test "$(line_stat pc1 .up.too_big)" -gt 0

finish
