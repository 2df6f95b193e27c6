#!/usr/bin/env bash
# Each port has the cipher that the server's file says, if the client allows it. What is readable on the wire is what
# that cipher leaves readable, and nothing else.
#
#   pc1 auto               --+
#   pc2 aes-256-gcm        --+
#   pc3 chacha20-poly1305  --+-- net -- server: [tap lan] srv-lan 172.20.0.254
#   pc4 auth               --+
#   pc5 none               --+
#   pc6 none, not allowed  --+

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need iperf3 tcpdump

HUB=172.20.0.254
declare -A CIPHER=([pc1]=auto [pc2]=aes-256-gcm [pc3]=chacha20-poly1305 [pc4]=auth [pc5]=none)
declare -A WEAKEST=([pc1]=- [pc2]=- [pc3]=- [pc4]=auth [pc5]=none [pc6]=-)

# write_server [PC=CIPHER...]: server.ini, with other ciphers for some.
write_server() {
	local -A cipher=()
	local pc arg ports=()

	for pc in "${!CIPHER[@]}"; do
		cipher[$pc]=${CIPHER[$pc]}
	done
	cipher[pc6]=none
	for arg; do
		cipher[${arg%%=*}]=${arg#*=}
	done
	for pc in pc1 pc2 pc3 pc4 pc5 pc6; do
		ports+=("$pc:cipher=${cipher[$pc]}")
	done
	server_ini -- "${ports[@]}"
	printf '%s\n' "[tap lan]" "device = srv-lan" "address = $HUB/24" >>"$RUN/server.ini"
}

make_net 6
write_server
for pc in pc1 pc2 pc3 pc4 pc5 pc6; do
	client_ini "$pc" "weakest_cipher=${WEAKEST[$pc]}"
done

# --- What a server may forbid ---
cp "$RUN/server.ini" "$RUN/server.keep"
sed -i 's/^\[common\]/[common]\nweakest_cipher = auth/' "$RUN/server.ini"
refusal=$("$VSWITCHS" check -c "$RUN/server.ini" 2>&1 >/dev/null || true)
check "a server that forbids 'none' refuses each such port, and says why" \
	test "$(grep -c 'server\.ini:[0-9]*: \[port pc[56]\] has cipher = none, and .*weakest_cipher = auth' \
		<<<"$refusal")" = 2
mv "$RUN/server.keep" "$RUN/server.ini"

start_server
start_client pc1 pc2 pc3 pc4 pc5
background iperf-server server iperf3 -s
wait_until 10 listens server 5201 || fail "iperf3 listens"

# count_pattern FILE: how often a ping's payload is to be read in a capture.
count_pattern() {
	{ grep -a -o 'vswitchvswitchvswitch' "$1" || true; } | wc -l
}

# capture PC COMMAND...: what goes over the PC's uplink while the command runs, in PC.pcap.
capture() {
	local pc=$1

	shift
	rm -f "$RUN/$pc.pcap" "$RUN/capture.log"
	background capture "$pc" tcpdump -n -i up0 -U -w "$RUN/$pc.pcap" udp
	wait_until 10 grep -q listening "$RUN/capture.log" || fail "tcpdump starts"
	"$@"
	stop capture || true
}

for pc in pc1 pc2 pc3 pc4 pc5; do
	want=${CIPHER[$pc]}
	wait_for "$pc is up with cipher = $want" 15 port_is "$pc" up
	[[ $want == auto ]] || check "... which the server's status shows" test "$(port_value "$pc" cipher)" = "$want"
	check "... and the client's, which is the same" \
		test "$(ask_client "$pc" | jq -r .cipher)" = "$(port_value "$pc" cipher)"
	wait_for "... it carries pings" 10 can_ping "$pc" $HUB
	capture "$pc" check "... also under tcpdump" ping_all "$pc" $HUB 50 -p 76737769746368
	seen=$(count_pattern "$RUN/$pc.pcap")
	case $want in
	auth | none) check "... which are to be read on the wire ($seen times)" test "$seen" -ge 50 ;;
	*) check "... of which nothing is to be read on the wire" test "$seen" = 0 ;;
	esac
	for way in "" -R; do
		# shellcheck disable=SC2086 # an option or nothing
		check "... TCP ${way:+the other way}" in_ns "$pc" timeout $((60 * VS_SLOW)) \
			iperf3 -J -c $HUB -t 1 $way --logfile "$RUN/iperf-$pc$way.json"
		check "... $(jq '.end.sum_received.bits_per_second / 1e6 | floor' "$RUN/iperf-$pc$way.json") Mbit/s" \
			jq -e '.end.sum_received.bytes > 1e6' "$RUN/iperf-$pc$way.json"
	done
done
check "auto has taken a cipher that encrypts" \
	test "$(port_value pc1 cipher | grep -cE '^(aes-256-gcm|chacha20-poly1305)$')" = 1

# Type 5 is the first byte of an unsealed datagram.
clear_datagrams() {
	tcpdump -n -r "$RUN/$1.pcap" 'udp[8] = 5' 2>/dev/null | wc -l
}
check "only 'none' has sent datagrams without a seal" \
	test "$(clear_datagrams pc1) $(clear_datagrams pc2) $(clear_datagrams pc3) $(clear_datagrams pc4)" = "0 0 0 0"
check "... and has ($(clear_datagrams pc5))" test "$(clear_datagrams pc5)" -gt 50

# --- A client that does not allow it ---
says_why() {
	ask_client "$1" | jq -e --arg why "$2" '.state == "connecting" and (.last_error | contains($why))'
}
why="not connected: the server has cipher = none for us, which weakest_cipher = encrypted here forbids"
start_client pc6
wait_for "pc6, which does not allow 'none', says why it does not connect" 15 grep -qF "$why" "$RUN/pc6.log"
check "... in its status as well" says_why pc6 "$why"
check "... in one and the same line" test "$(grep -o 'not connected.*' "$RUN/pc6.log" | sort -u | wc -l)" = 1
wait_for "... and the server tells its side" 5 \
	grep -q "pc6: the port has cipher = none, which the client's weakest_cipher forbids" "$RUN/server.log"
check "... counts it" jq -e '.drops.handshake_terms > 0' <(ask_server status)
check_not "... and has no such port up" port_is pc6 up
check_not "nothing reaches pc6" can_ping pc6 $HUB

# --- One line in the server's file changes it, while all goes on ---
write_server pc5=auto pc6=auth
check "reload" reload_server
is_encrypted() {
	port_has "$1" '.cipher == "aes-256-gcm" or .cipher == "chacha20-poly1305"'
}
wait_for "pc5 is encrypted now" 30 is_encrypted pc5
wait_for "... and carries pings" 10 can_ping pc5 $HUB
capture pc5 check "... also under tcpdump" ping_all pc5 $HUB 50 -p 76737769746368
check "... of which nothing is to be read on the wire" test "$(count_pattern "$RUN/pc5.pcap")" = 0
wait_for "pc6 does not allow 'auth' either" 15 grep -q "the server has cipher = auth for us" "$RUN/pc6.log"
write_server pc6=auto
check "reload" reload_server
wait_for "pc6 is let in as soon as it is encrypted" 30 port_is pc6 up
wait_for "... and carries pings" 10 can_ping pc6 $HUB

finish
