#!/usr/bin/env bash
# Four members, each served by another worker of the server, and a device of the server's own: whatever one says reaches
# the others across workers, once and in order; also after the server was killed and came back with fewer workers.
#
#   pc1 --+         +-- [tap lan]: srv-lan 172.20.0.254
#   pc2 --+         |
#   pc3 --+-- net -- server (4 workers)
#   pc4 --+

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need iperf3

VS_WORKERS=4 # whatever the environment says
MEMBERS=(pc1 pc2 pc3 pc4)
make_net 4

write_server_ini() {
	server_ini -- "${MEMBERS[@]}"
	cat >>"$RUN/server.ini" <<-'END'
		[tap lan]
		device = srv-lan
		address = 172.20.0.254/24, fd20::fe/64
	END
}

all_are_up() {
	local pc

	for pc in "${MEMBERS[@]}"; do
		port_is "$pc" up || return 1
	done
}

reaches_all() {
	local to

	for to in "${MEMBERS[@]}"; do
		[[ $1 == "$to" ]] || can_ping "$1" "$(lan_ip "$to")" || return 1
	done
	can_ping "$1" 172.20.0.254
}

# all_reach_all WHEN: every pair, in both directions, and the server's own device.
all_reach_all() {
	local pc

	for pc in "${MEMBERS[@]}"; do
		check "$1: $pc reaches the other three and the server" reaches_all "$pc"
	done
}

# status_says CONDITION / ports_say CONDITION: in jq's words.
status_says() {
	ask_server status | jq -e "$1"
}
ports_say() {
	ask_server ports | jq -e "$1"
}

write_server_ini
for pc in "${MEMBERS[@]}"; do
	client_ini "$pc"
done
start_server
start_client "${MEMBERS[@]}"
wait_for "all members are up" 15 all_are_up

# --- Everybody to everybody ---
check "each of the four workers has a session" status_says '.workers | length == 4 and all(.sessions >= 1)'
check "... and members are spread over all of them" ports_say \
	'[.ports[] | select(.kind == "client") | .worker] | unique == [0, 1, 2, 3]'
all_reach_all "four workers"
check "no ping is lost between workers" ping_all pc1 "$(lan_ip pc4)" 100

# Each station answers the first of these pings once, the one that asks among them. (ping does not wait for all answers
# to the last.)
for pc in "${MEMBERS[@]}" server; do
	set_sysctl "$pc" net/ipv4/icmp_echo_ignore_broadcasts 0
done
broadcast() {
	local answers

	answers=$(in_ns "$1" ping -n -b -c 2 -i 0.3 -W 1 172.20.0.255 | sed -n 's/.* from \(.*\): icmp_seq=1 .*/\1/p' | sort)
	[[ $answers == "$(printf '172.20.0.%s\n' 1 2 254 3 4)" ]]
}
for pc in "${MEMBERS[@]}"; do
	wait_for "a broadcast of $pc reaches the other three and the server, once each" 10 broadcast "$pc"
done

# --- Two pairs at once ---
for pc in pc2 pc4; do
	background "iperf-$pc" "$pc" iperf3 -s
	wait_for "iperf3 listens on $pc" 10 listens "$pc" 5201
done

# iperf NAME PC TO OPTION...: its report in NAME.json.
iperf() {
	local name=$1 pc=$2 to=$3

	shift 3
	in_ns "$pc" timeout $((60 * VS_SLOW)) iperf3 -J -c "$(lan_ip "$to")" "$@" >"$RUN/$name.json"
}

# both_pairs OPTION...: pc1 and pc2, and pc3 and pc4, at the same time.
both_pairs() {
	local other status=0

	iperf second pc3 pc4 "$@" &
	other=$!
	iperf first pc1 pc2 "$@" || status=1
	wait "$other" || status=1
	return "$status"
}

# report_says CONDITION: of both.
report_says() {
	jq -e "$1" "$RUN/first.json" && jq -e "$1" "$RUN/second.json"
}

check "TCP between two pairs at the same time" both_pairs -t 2
check "... both get through" report_says '.end.sum_received.bytes > 1e6'
check "TCP the other way" both_pairs -t 2 -R
check "... both get through" report_says '.end.sum_received.bytes > 1e6'

# With -R it is the receiver that reports. What is lost says how fast this machine is; the order is what counts.
check "UDP between two pairs, four flows each" both_pairs -u -b 4M -l 1000 -P 4 -t 3 -R
check "... datagrams, and lost ones: $(jq -c '.end.sum | [.packets, .lost_packets]' "$RUN/first.json")" report_says \
	'.end.sum.packets > 1000'
check "... not one out of order" report_says '[.end.streams[].udp.out_of_order] | length == 4 and add == 0'
check "all workers have moved datagrams" status_says \
	'.workers | all(.carrier.rx_datagrams > 100 and .carrier.tx_datagrams > 100)'
check "... and none was too slow for the others" status_says '.drops.ring_full // 0 == 0'

# --- Killed, and back with another number ---
crash server
VS_WORKERS=2
write_server_ini
start_server
wait_for "all members are back at two workers" 30 all_are_up
check "... which the server says it has" status_says '.workers | length == 2 and all(.sessions >= 1)'
all_reach_all "two workers"

crash server
VS_WORKERS=64
write_server_ini
start_server
wait_for "all members are back at the most workers that there can be" 30 all_are_up
check "... which the server says it has" status_says '.workers | length == 64'
all_reach_all "64 workers"

# --- The number is the next start's ---
VS_WORKERS=1
write_server_ini
restart_is_needed() {
	reload_server | grep -q workers
}
check "a reload says that another number takes a restart" restart_is_needed
check "... and goes on with what there is" status_says '.workers | length == 64'

finish
