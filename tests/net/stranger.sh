#!/usr/bin/env bash
# A stranger gets no answer and makes no state; who knows the server's public key but has no port gets at most a cookie,
# smaller than the question. Everything that the server says is captured on its wire.
#
#   pc1 (member) -------+
#   pc2 (strangers) ----+-- net --|tcpdump|-- server

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need tcpdump socat

make_net 2
server_ini -- pc1
make_key pc2
client_ini pc1
client_ini pc2
start_server

background capture server tcpdump -n -i eth0 -U -w "$RUN/server.pcap" udp
wait_until 10 grep -q listening "$RUN/capture.log" || fail "tcpdump starts"

# count FILTER: captured packets.
count() {
	tcpdump -n -r "$RUN/server.pcap" "$@" 2>/dev/null | wc -l
}

# heard N: the server's host has been sent at least N datagrams from pc2.
heard() {
	(($(count src host 10.1.2.2 and dst port "$SERVER_PORT") >= $1))
}

# say FILE: as one datagram to the server.
say() {
	in_ns pc2 socat -b 65536 -u STDIN "UDP4-SENDTO:$SERVER_IP:$SERVER_PORT" <"$1"
}

sent=0
for size in 0 1 3 4 12 28 60 148 383 384 400 1200 1400; do
	head -c "$size" /dev/urandom >"$RUN/noise"
	say "$RUN/noise"
	((size == 0)) || sent=$((sent + 1))
done
# Each type of datagram, in its own size and others, with noise behind the header.
for type in 1 2 3 4 5 6 255; do
	for size in 20 68 92 384 1200; do
		{
			printf '%b' "\\x$(printf %02x "$type")"
			head -c $((size - 1)) /dev/urandom
		} >"$RUN/noise"
		say "$RUN/noise"
		sent=$((sent + 1))
	done
done
wait_for "the server has been sent $sent datagrams of noise" 10 heard "$sent"
check "... and its program got them" server_listens

counted() {
	ask_server status | jq -e '[.drops[]] | add >= 30'
}
wait_for "it has counted them" 10 counted
check "it has not answered any" test "$(count src host $SERVER_IP)" = 0
check "no session has come of it" jq -e '.sessions == 0 and .ports_up == 0' <(ask_server status)

# --- A client with a wrong idea of the server's key ---
member=$(<"$RUN/pc2.ini")
sed -i "s|^server_public_key.*|server_public_key = ${VS_PUBLIC[pc1]}|" "$RUN/pc2.ini"
start_client pc2
wait_for "who does not know the server's key dials" 15 heard $((sent + 3))
check "... and gets no answer" test "$(count src host $SERVER_IP)" = 0
stop pc2 || fail "pc2 ends with status 0"

# --- A client that knows it, but that the server does not know ---
(umask 077 && echo "$member" >"$RUN/pc2.ini")
before=$(count src host 10.1.2.2)
start_client pc2
wait_for "who knows the server's key but has no port dials" 15 heard $((before + 3))
smaller_than_questions() {
	local answers largest_answer

	answers=$(tcpdump -n -r "$RUN/server.pcap" src host "$SERVER_IP" 2>/dev/null | sed -n 's/.*length //p' | sort -n)
	largest_answer=$(tail -n 1 <<<"$answers")
	((${largest_answer:-0} < 384))
}
check "... and gets nothing larger than a question" smaller_than_questions
check_not "... and no port" port_is pc2 up
check "no session has come of it" jq -e '.sessions == 0 and .ports_up == 0' <(ask_server status)
stop pc2 || fail "pc2 ends with status 0"

# --- What would have been seen ---
check_not "no member yet" port_is pc1 up
start_client pc1
wait_for "the member is let in" 15 port_is pc1 up
answered() {
	(($(count src host "$SERVER_IP" and dst host 10.1.1.2) > 0))
}
wait_for "... and its answers are captured" 10 answered
stop capture || true

finish
