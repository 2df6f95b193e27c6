#!/usr/bin/env bash
# Reload changes how a port's link travels while it is in use: numbered datagrams go both ways all the time, and none of
# them is lost. The link never ends, and both sides show what is in force.
#
#   pc1 --+-- net -- server      pc1 <-> pc2, 200 numbered datagrams a second each way
#   pc2 --+

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need iperf3

make_net 2
server_ini -- pc1 pc2
client_ini pc1 weakest_cipher=none
client_ini pc2
start_server
start_client pc1 pc2
wait_for "pc1 is up" 15 port_is pc1 up
wait_for "pc2 is up" 15 port_is pc2 up
wait_for "they reach each other" 15 can_ping pc1 "$(lan_ip pc2)"
since=$(date +%s)

# status_has CONDITION: in the client's status.
status_has() {
	ask_client pc1 | jq -e "$1" >/dev/null
}

# both CONDITION: on both sides of pc1's link.
both() {
	port_has pc1 "$1" && status_has "$1"
}

# change SETTINGS CONDITION: puts them into pc1's section, and waits until they are in force.
change() {
	server_ini -- "pc1${1:+:$1}" pc2
	check "reload with ${1:-nothing set}" reload_server
	wait_for "... which is in force on both sides" 10 both "$2"
	# Some traffic under it, before the next.
	check "... and carries pings" can_ping pc1 "$(lan_ip pc2)"
}

# One change after another, there and back.
all_changes() {
	change "cipher=chacha20-poly1305" '.cipher == "chacha20-poly1305"'
	change "cipher=aes-256-gcm;congestion=cubic" '.cipher == "aes-256-gcm" and .congestion == "cubic"'
	change "cipher=auth;lanes=4" '.cipher == "auth" and .congestion == "bbr"'
	change "mode=datagram" '.cipher != "auth" and .mode == "datagram"'
	change "mode=datagram;fec=4:2" '.mode == "datagram" and .fec == "4:2" and .fec_peer == "4:2"'
	change "fec=auto;fec_up=10:3" '.mode == "reliable" and ([.fec, .fec_peer] | sort) == ["10:3", "auto"]'
	change "profile=lossy" '.fec == "auto" and .kcp.resend == 2 and .kcp.interval_msec == 2'
	change "nodelay=yes;interval=20ms;sndwnd=300;rcvwnd=400;keepalive=2s" \
		'.fec == "off" and .kcp.nodelay and .kcp.interval_msec == 20 and .kcp.sndwnd == 300 and .kcp.rcvwnd == 400'
	change "cipher=none" '.cipher == "none"'
	change "cipher=none;mode=datagram" '.cipher == "none" and .mode == "datagram"'
	change "mode=datagram" '.cipher != "none" and .mode == "datagram"'
	change "cipher=none" '.cipher == "none" and .mode == "reliable"'
	change "" '.cipher != "none" and .mode == "reliable" and (.kcp.nodelay | not)'
}

# numbered NAME FROM TO PORT: starts a stream of numbered datagrams.
numbered() {
	background "sink-$1" "$3" iperf3 -s -1 -p "$4"
	wait_until 10 listens "$3" "$4" || fail "iperf3 listens"
	background "$1" "$2" iperf3 -c "$(lan_ip "$3")" -p "$4" -u -b 1600K -l 1000 -t $((8 * VS_SLOW)) --json
}

numbered there pc1 pc2 5201
numbered back pc2 pc1 5202
rounds=0
while running there && running back; do
	all_changes
	rounds=$((rounds + 1))
done
# What the queues have dropped, of all frames: on a machine that is short of time they do, and rightly.
dropped_by_queues() {
	{ ask_server ports; ask_client pc1; ask_client pc2; } | jq -s '[.. | .queue? | objects | .codel] | add'
}

for stream in there back; do
	wait_for "the stream ends after $rounds rounds of changes" 20 gone "$stream"
	lost=$(jq -r '.end.sum.lost_packets' "$RUN/$stream.log")
	sent=$(jq -r '.end.sum.packets' "$RUN/$stream.log")
	check "of $sent numbered datagrams some have come" test "$sent" -gt 100
	check "... and none is lost ($lost) but by queues" test "$lost" -le "$(dropped_by_queues)"
done

# --- And under load ---
background sink-load pc2 iperf3 -s -1 -p 5203
wait_until 10 listens pc2 5203 || fail "iperf3 listens"
background load pc1 iperf3 -c "$(lan_ip pc2)" -p 5203 -t $((12 * VS_SLOW))
change "mode=datagram" '.mode == "datagram"'
change "cipher=none" '.cipher == "none" and .mode == "reliable"'
change "cipher=auth;congestion=cubic" '.cipher == "auth" and .congestion == "cubic"'
change "" '.cipher != "auth" and .mode == "reliable"'
wait_for "TCP goes on to its end" $((30 * VS_SLOW)) gone load

check "the link has been up all the time" port_has pc1 ".since_sec > $(($(date +%s) - since - 2))"
check_not "... and never ended" grep -q "link to .* \(ended\|lost\)" "$RUN/server.log"
check_not "... and nobody has broken the protocol" grep -q "broken the protocol" "$RUN/server.log"
stop pc1 || fail "pc1 ends with status 0"
stop server || fail "the server ends with status 0"
finish
