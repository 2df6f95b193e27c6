#!/usr/bin/env bash
# A member serves DHCP to the others, as a PC at home would to its friends: a real dnsmasq, real udhcpc.
#
#   pc1 (dnsmasq, 172.20.0.1) --+
#   pc2 (udhcpc) ---------------+-- net -- server
#   pc3 (udhcpc) ---------------+

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need dnsmasq udhcpc

make_net 3
server_ini -- pc1 pc2 pc3
client_ini pc1
client_ini pc2 tap.address=-
client_ini pc3 tap.address=-

cat >"$RUN/lease" <<'END'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr replace "$ip/${mask:-24}" dev "$interface"
echo "$ip" >"/run/vswitch-test/$LEASE_OF.lease"
END
chmod +x "$RUN/lease"

lease() {
	LEASE_OF=$1 in_ns "$1" timeout 10 udhcpc -i lan0 -f -q -n -t 3 -T 1 -s "$RUN/lease"
}

start_server
start_client pc1 pc2 pc3
for pc in pc1 pc2 pc3; do
	wait_for "$pc is up" 15 port_is "$pc" up
done

check_not "no lease while nobody serves" lease pc2
background dnsmasq pc1 dnsmasq --no-daemon --conf-file=/dev/null --port=0 --interface=lan0 --bind-dynamic \
	--dhcp-range=172.20.0.100,172.20.0.150,10m --dhcp-leasefile="$RUN/leases" --pid-file= --log-dhcp
for pc in pc2 pc3; do
	wait_for "$pc has a lease" 30 lease "$pc"
	check "the lease is of the right range" grep -Eq '^172\.20\.0\.1[0-4][0-9]$|^172\.20\.0\.150$' "$RUN/$pc.lease"
done
check "the two leases differ" test "$(<"$RUN/pc2.lease")" != "$(<"$RUN/pc3.lease")"
check "pc2 reaches pc3 at its leased address" can_ping pc2 "$(<"$RUN/pc3.lease")"
check "pc3 reaches the DHCP server" can_ping pc3 172.20.0.1
stop dnsmasq || true

finish
