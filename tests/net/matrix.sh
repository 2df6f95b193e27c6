#!/usr/bin/env bash
# Every setting of a port with every other: carrier x mode x cipher x FEC x IP version of the path to the server, each
# behind a line that loses, delays and reorders, all on one switch. matrix_plan.py chooses the cells, matrix_traffic.py
# is the traffic, matrix_expect.py says what must hold.
#
#   pc1: dnsmasq, and plain UDP over a good line -+
#   pc2 ==linkemu: 2 % loss, 5 ms, reordering=====+
#   pc3 ==linkemu=================================+-- net -- server
#   ...                                           |
#   pcN ==linkemu=================================+
#
# Each member gets its address by DHCP from pc1, and then talks to pc1 and to the member whose port is least like its
# own: ARP, TCP, UDP, full frames.
#
# Environment: VS_FULL=1 tries all 240 cells instead of a pairwise cover, a switch full at a time; VS_CELLS, patterns of
# names, tries only these, out of all 240: VS_CELLS='tcp-*-none-*-4 udp-datagram-auto-4:2-6'.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need dnsmasq udhcpc python3

LINE=(--delay 5ms --loss 2% --reorder 2% --reorder-delay 3ms)
PLAN=$RUN/plan.json
declare -A SERVER=([4]=$SERVER_IP [6]=$SERVER_IP6)
declare -A WEAKEST=([auth]=auth [none]=none)
# Of a batch, by member: the cell's name, the port's keys in server.ini, those of the client's file, whom it talks to.
declare -A CELL=() PORT_KEYS=() CLIENT_KEYS=() PARTNER=()
MEMBERS=()

# --- The plan ---------------------------------------------------------------------------------------------------------

make_plan() {
	local options=() glob globs

	[[ ! ${VS_FULL:-}${VS_CELLS:-} ]] || options+=(--full)
	read -ra globs <<<"${VS_CELLS:-}"
	for glob in "${globs[@]}"; do
		options+=(--only "$glob")
	done
	python3 "$VS_NET_DIR/matrix_plan.py" "${options[@]}" --table | sed 's/^/# /'
	python3 "$VS_NET_DIR/matrix_plan.py" "${options[@]}" >"$PLAN"
}

# batch N: the cells of a batch, to batch.json, CELL and MEMBERS.
batch() {
	local pc name carrier mode cipher fec ip partner

	jq -c "select(.batch == $1)" "$PLAN" >"$RUN/batch.json"
	MEMBERS=() CELL=() PORT_KEYS=() CLIENT_KEYS=() PARTNER=()
	while read -r pc name carrier mode cipher fec ip partner; do
		MEMBERS+=("$pc")
		CELL[$pc]=$name
		PARTNER[$pc]=$partner
		PORT_KEYS[$pc]="mode=$mode;cipher=$cipher;fec=$fec;carrier=$carrier"
		CLIENT_KEYS[$pc]="carrier=$carrier server_addr=${SERVER[$ip]} weakest_cipher=${WEAKEST[$cipher]:-encrypted}"
	done < <(jq -r '[.pc, .name, .carrier, .mode, .cipher, .fec, .ip, .partner // "-"] | join(" ")' "$RUN/batch.json")
}

# --- A batch on the switch --------------------------------------------------------------------------------------------

write_files() {
	local pc ports=() keys

	for pc in "${MEMBERS[@]}"; do
		ports+=("$pc:${PORT_KEYS[$pc]}")
	done
	server_ini -- pc1 "${ports[@]}"
	for pc in "${MEMBERS[@]}"; do
		rm -f "$RUN/$pc.ini"
		read -ra keys <<<"${CLIENT_KEYS[$pc]}"
		client_ini "$pc" tap.address=- "${keys[@]}"
	done
}

# Fails if a link is not up, or not as its cell says, and tells whose.
all_are_up() {
	local missing

	missing=$(ask_server ports | jq -r --slurpfile cells "$RUN/batch.json" '
		def is_cipher($of): .cipher == $of or ($of == "auto" and (.cipher | test("^(aes|chacha)")));
		.ports as $ports | $cells | map(. as $cell | select($ports | any(
			.name == $cell.pc and .state == "up" and .carrier == $cell.carrier and .mode == $cell.mode and
			is_cipher($cell.cipher) and .fec == $cell.fec and .fec_peer == $cell.fec) | not) |
			"\(.pc) (\(.name))") | join(", ")')
	[[ $missing ]] || return 0
	echo "$missing"
	return 1
}

# Every port with FEC that is always on has got back what its line has lost; TCP loses nothing.
all_have_recovered() {
	ask_server ports | jq -e --slurpfile cells "$RUN/batch.json" '.ports as $ports | $cells |
		map(select((.fec | contains(":")) and .carrier != "tcp") | . as $cell | $ports[] |
			select(.name == $cell.pc) | {name, fec, fec_recovered}) | all(.fec_recovered > 0)'
}

# lease PC: by DHCP.
lease() {
	LEASE_OF=$1 in_ns "$1" timeout $((30 * VS_SLOW)) udhcpc -i lan0 -f -q -n -t 10 -T 1 -x "hostname:$1" -s "$RUN/lease" \
		>"$RUN/udhcpc-$1.log" 2>&1
}

# all_at_once FUNCTION: for each member; fails if it fails for one.
all_at_once() {
	local pc pids=() status=0 pid

	for pc in "${MEMBERS[@]}"; do
		"$1" "$pc" &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do
		wait "$pid" || status=1
	done
	return "$status"
}

join_lan() {
	lease "$1" && [[ $(<"$RUN/$1.lease") == "$(lan_ip "$1")" ]] && return 0
	echo "$1 (${CELL[$1]}) has no lease, or not its own"
	return 1
}

# talk PC: to pc1 and to its partner; what it sees, to results/PC.json.
talk() {
	local stations=("pc1=$(lan_ip pc1)")

	[[ ${PARTNER[$1]} == - ]] || stations+=("${PARTNER[$1]}=$(lan_ip "${PARTNER[$1]}")")
	in_ns "$1" timeout $((120 * VS_SLOW)) python3 "$VS_NET_DIR/matrix_traffic.py" probe lan0 "$VS_SLOW" "${stations[@]}" \
		>"$RUN/results/$1.json" 2>"$RUN/probe-$1.log" && return 0
	echo "$1 (${CELL[$1]}): the probe has failed: $(tail -n 1 "$RUN/probe-$1.log")"
	rm "$RUN/results/$1.json"
	return 1
}

serve() {
	background "serve-$1" "$1" python3 "$VS_NET_DIR/matrix_traffic.py" serve "${#MEMBERS[@]}"
}

# judge: a line for each verdict. Stops after the last, so that all that is wrong is to be seen.
judge() {
	local verdict what status=0

	python3 "$VS_NET_DIR/matrix_expect.py" "$RUN/batch.json" "$RUN/results" >"$RUN/verdicts" || status=$?
	while IFS=$'\t' read -r verdict what; do
		case $verdict in
		ok) ok "$what" ;;
		"not ok") echo "# BAD: $what" ;;
		*) echo "$verdict" ;;
		esac
	done <"$RUN/verdicts"
	((status != 0)) || return 0
	ask_server ports | jq -c '.ports[]' | sed 's/^/# /'
	fail "all cells carry what they should: $(grep -c '^not ok' "$RUN/verdicts") do not"
}

# Members are known by their names, whatever MAC address their device has this time.
serve_dhcp() {
	local pc hosts=()

	for pc in "${MEMBERS[@]}"; do
		hosts+=("--dhcp-host=$pc,$(lan_ip "$pc")")
	done
	rm -f "$RUN/leases"
	background dnsmasq pc1 dnsmasq --no-daemon --conf-file=/dev/null --port=0 --interface=lan0 --bind-dynamic --no-ping \
		--dhcp-authoritative --dhcp-range=172.20.0.0,static,10m "${hosts[@]}" --dhcp-leasefile="$RUN/leases" --pid-file=
}

start_batch() {
	if running server; then
		check "reload" reload_server
	else
		start_server
		start_client pc1
		wait_for "pc1 is up" 15 port_is pc1 up
	fi
	serve_dhcp
	start_client "${MEMBERS[@]}"
	wait_until 60 all_are_up || fail "these are not up, or not as their cells say: $(all_are_up)"
	ok "${#MEMBERS[@]} members are up, each with the settings of its cell"
}

end_batch() {
	local pc

	stop dnsmasq || true
	stop serve-pc1 || true
	for pc in "${MEMBERS[@]}"; do
		stop "serve-$pc" || true
		stop "$pc" || fail "$pc ends with status 0 (it was $?)"
		rm -f "$RUN/$pc.lease" "$RUN/results/$pc.json"
	done
}

try_batch() {
	local pc failed=0

	write_files
	start_batch
	check "each gets its address by DHCP" all_at_once join_lan
	for pc in pc1 "${MEMBERS[@]}"; do
		serve "$pc"
	done
	all_at_once talk || failed=1
	judge
	check "the status of each port with FEC shows what it has recovered" all_have_recovered
	((failed == 0)) || fail "every probe comes to its end"
	end_batch
}

# --- The test ---------------------------------------------------------------------------------------------------------

cat >"$RUN/lease" <<'END_LEASE'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr replace "$ip/${mask:-24}" dev "$interface"
echo "$ip" >"/run/vswitch-test/$LEASE_OF.lease"
END_LEASE
chmod +x "$RUN/lease"

make_plan
members=$(jq -s 'map(.pc[2:] | tonumber) | max' "$PLAN")
batches=$(jq -s 'map(.batch) | max + 1' "$PLAN")
make_net "$members"
for ((n = 2; n <= members; n++)); do
	line "pc$n" "${LINE[@]}" --seed "$n"
done
make_key server
make_key pc1
client_ini pc1
mkdir "$RUN/results"
ok "the net and its lines are made"

for ((b = 0; b < batches; b++)); do
	batch "$b"
	try_batch
done
finish
