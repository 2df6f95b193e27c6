#!/usr/bin/env bash
# Twenty clients of the load generator on one server: all join, a broadcast reaches each of them, and what one sends to
# another arrives in order, as ordinary frames and as super-frames.
#
#   server (vswitchs and loadgen, on its loopback)

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need jq

LOADGEN=$VS_BUILD/tests/loadgen
CLIENTS=20
PORT=7001

[[ -x $LOADGEN ]] || skip "there is no load generator in this build"
add_ns server
mkdir "$RUN/load"
"$LOADGEN" init "$RUN/load" -n $CLIENTS -P "$PORT"
[[ ! ${VS_WORKERS:-} ]] || sed -i "s/^bind_port.*/&\nworkers = $VS_WORKERS/" "$RUN/load/vswitchs.ini"
background load_server server "$VSWITCHS" run -c "$RUN/load/vswitchs.ini"

# load NAME OPTION...: a run of the load generator, with its report in NAME.json.
load() {
	local name=$1

	shift
	in_ns server "$LOADGEN" run -k "$RUN/load/loadgen.keys" -P "$PORT" -J "$((20 * VS_SLOW))s" "$@" >"$RUN/$name.json"
}

# reports NAME FILTER: what the report says.
reports() {
	jq -e "$2" "$RUN/$1.json"
}

# arrived NAME: what was sent arrived, and nothing that should not have. Not every last frame: on a machine that is short
# of time CoDel rightly drops one here and there. If not, shows the whole report.
arrived() {
	reports "$1" '.account | .expected > 0 and .lost <= .expected / 100 and .duplicates == 0 and .malformed == 0' || {
		jq -c . "$RUN/$1.json"
		return 1
	}
}

listening() {
	in_ns server ss -Hlun "sport = :$PORT" | grep -q .
}
wait_for "the server listens" 10 listening

check "broadcasts are sent to $CLIENTS clients" load broadcast -b -r 50 -l 300 -w 0 -t 2s
check "... all have joined" reports broadcast ".join | .joined == $CLIENTS and .links_lost == 0"
check "... the broadcasts have reached each of the others" arrived broadcast
check "... and they were many" reports broadcast ".account.arrived >= $((CLIENTS - 1)) * 50"

check "one sends to another" load unicast -r 1000 -l 1514 -w 0 -t 2s
check "... it has arrived" arrived unicast
check "... in order" reports unicast '.account.reordered == 0'
check "... and nowhere else" reports unicast '.account.strays == 0'

check "one sends super-frames to another" load super -r 100 -l 65000 -w 0 -t 2s
check "... it has arrived" arrived super
check "... in order" reports super '.account.reordered == 0'

check "ten pairs exchange frames in eight flows each" load pairs -p 10 -f 8 -e -r 100 -l 60 -w 0 -t 2s
check "... the questions are answered" arrived pairs
check "... those of each flow in order" reports pairs '.account.reordered == 0'

# A port whose clients share a key.
stop load_server || fail "the server ends with status 0"
rm -r "$RUN/load" && mkdir "$RUN/load"
"$LOADGEN" init "$RUN/load" -n $CLIENTS -P "$PORT" -S
background load_server server "$VSWITCHS" run -c "$RUN/load/vswitchs.ini"
wait_for "the server listens with one port for all" 10 listening
check "they join with one key, one after the other" load shared -b -r 50 -l 300 -j 100 -w 0 -t 1s
check "... the broadcasts have reached each of the others" arrived shared
stop load_server || fail "the server ends with status 0"

finish
