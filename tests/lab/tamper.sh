# shellcheck shell=bash disable=SC1091,SC2034,SC2154
# Other hands in the kernel: what they change is put right within seconds, and meanwhile no overlay packet leaves in
# clear. The underlay is watched all the time.
#
#      wan (watched) ------- ctl
#       |------------------- ola      laptop of ola@fjord.example
#       `------------------- buoy     tag:buoy    tcp/2101
#
# limit: 240
LAB_NET4=10.123.4 LAB_NET6=2001:db8:4
. "$(dirname "$0")/lib.sh"

make_policy()
{
	cat <<-'END'
	[resource buoys]
	on    = tag:buoy
	ports = tcp/2101
	[rule read]
	who  = user:ola@fjord.example
	what = resource:buoys
	why  = Somebody must know how high the sea is
	END
}

watch_underlay()
{
	start watch wan watch.log tcpdump -i br0 -n -l -U --immediate-mode \
		"(net 100.64.0.0/10 or ip6 net fd00::/8) and not udp port 51820"
	await 10 grep -q 'listening on' "$lab/watch.log"
}

nothing_in_clear()
{
	! grep -E '100\.(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])\.|IP6 fd' "$lab/watch.log"
}

# ola keeps asking while somebody spoils her kernel.
spoilt()
{
	local what=$1 machine=$2

	shift 2
	must on "$machine" "$@"
	check "$what: put right" await 15 is_right "$machine"
	check "$what: access is there (again)" await 15 reaches ola tcp "$buoy" 2101
	check "$what: and nothing more" denied reaches ola tcp "$buoy" 22
}

# As before: what wg, nft and ip show is what they showed when all was well.
is_right()
{
	picture "$1" >"$lab/now"
	cmp -s "$lab/picture-$1" "$lab/now"
}

# Without what changes by itself: counters, ages, handles, endpoints.
picture()
{
	on "$1" sh -c '
		wg show zt0 allowed-ips | sort
		wg show zt0 preshared-keys | sort
		wg show zt0 private-key
		wg show zt0 listen-port
		ip -o -4 address show dev zt0 | sed "s/^[0-9]*: //"
		ip -o -6 address show dev zt0 scope global | sed "s/^[0-9]*: //; s/valid_lft.*//"
		ip route show table all | grep -E "zt0|unreachable" | sort
		ip -6 route show table all | grep -E "dev zt0|unreachable" | grep -v -E "fe80|ff00|^multicast|^anycast|^local" | sort
		ip -o link show zt0 | grep -o "<.*>" | tr , "\n" | grep -cw UP
		nft list table inet ztnode | sed -E "s/ (expires|timeout) [^ ,}]*//g; s/packets [0-9]+ bytes [0-9]+//" \
			| tr "," "\n" | tr -d " \t{}" | sort
	' 2>/dev/null || true
}

# By hand: a packet with an overlay destination on the wire.
watch_sees()
{
	must on ctl ip route add 100.64.0.77/32 via "$LAB_NET4.1"
	probe ctl -t 300 tcp 100.64.0.77 99 || true
	await 5 denied nothing_in_clear
}

foreign_stays()
{
	on ola nft add table inet others
	node_start ola
	await 20 is_connected ola
	node ola down
	on ola nft list table inet others
}

foreign_peer=$(wg genkey | wg pubkey)

lab_start ola buoy
serve buoy 22 2101
controller_start
must policy_put < <(make_policy)
node_join ola --user ola@fjord.example
node_join buoy --tag buoy
nodes_ready ola buoy
buoy=${address[buoy]} ola=${address[ola]}
check "the underlay is watched" watch_underlay
check "ola reads the buoy" await 10 reaches ola tcp "$buoy" 2101
picture ola >"$lab/picture-ola"
picture buoy >"$lab/picture-buoy"
check "the picture of the kernel is not empty" test "$(wc -l <"$lab/picture-ola")" -gt 10
check "and does not change by itself" stays 1 is_right ola

spoilt "a peer more" ola wg set zt0 peer "$foreign_peer" allowed-ips 100.64.99.99/32
spoilt "the peer's allowed IPs wider" ola wg set zt0 peer "$(on ola wg show zt0 peers)" allowed-ips 100.64.0.0/10
spoilt "the peer gone" ola wg set zt0 peer "$(on ola wg show zt0 peers)" remove
spoilt "another private key" buoy sh -c 'wg genkey >/run/k; wg set zt0 private-key /run/k; rm /run/k'
spoilt "the preshared key gone" ola sh -c 'wg set zt0 peer $(wg show zt0 peers) preshared-key /dev/null'
spoilt "the whole ruleset flushed at the source" ola nft flush ruleset
spoilt "and at the destination" buoy nft flush ruleset
spoilt "our table deleted" buoy nft delete table inet ztnode
spoilt "our sets emptied" buoy sh -c 'nft -j list sets inet | grep -o "\"name\": \"[^\"]*\"" | cut -d\" -f4 | sort -u |
	while read -r s; do nft flush set inet ztnode "$s" 2>/dev/null; done; true'
spoilt "a rule that accepts everything in our chains" buoy sh -c 'nft -j list chains inet | grep -o "\"table\": \"ztnode\", \"name\": \"[^\"]*\"" |
	cut -d\" -f8 | while read -r c; do nft insert rule inet ztnode "$c" accept; done'
spoilt "the address deleted" ola ip address del "$ola/32" dev zt0
spoilt "the IPv6 address deleted" ola ip address del "${address6[ola]}/128" dev zt0
spoilt "the route deleted" ola sh -c 'ip route del $(ip route show dev zt0 | head -n 1) dev zt0'
spoilt "the unreachable routes deleted" ola sh -c 'ip route show type unreachable | while read -r r; do ip route del $r; done'
spoilt "the interface down" ola ip link set zt0 down
spoilt "the interface deleted at the source" ola ip link del zt0
spoilt "and at the destination" buoy ip link del zt0
spoilt "another MTU" ola ip link set zt0 mtu 9000

note "a route of a hostile DHCP server"
must on ola ip route add 100.64.0.0/11 via "$LAB_NET4.1"
must on ola ip route add 100.96.0.0/11 via "$LAB_NET4.1"
probe ola -t 700 tcp "$buoy" 2101 22 >/dev/null || true
probe ola -t 700 udp "${address[buoy]}" 2101 >/dev/null || true
check "more specific than ours, and still nothing leaves by it" nothing_in_clear
must on ola ip route del 100.64.0.0/11
must on ola ip route del 100.96.0.0/11
check "when it is gone all is well" await 15 reaches ola tcp "$buoy" 2101

note "and with nobody there to put it right"
node_kill ola
must on ola ip link del zt0
check "the overlay is unreachable then, not somewhere else" denied probe ola -t 700 tcp "$buoy" 2101 22
check "over IPv6 too" denied probe ola -t 700 tcp "${address6[buoy]}" 2101 22
node_kill buoy
must on buoy ip link del zt0
check "so it is for the destination" denied probe buoy -t 700 tcp "$ola" 2101

check "in all this time no overlay packet left in clear" nothing_in_clear
check "and the watch would have seen one" watch_sees
check "foreign tables are not ours to touch" foreign_stays
