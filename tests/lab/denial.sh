# shellcheck shell=bash disable=SC1091,SC2034,SC2154
# What is not granted does not exist: every peer, every kind of packet, both directions, also for a source that lies.
#
#      wan ------- ctl
#       |--------- grace    ops                 may: web tcp/7001 udp/7002 tcp/7100-7109; print icmp
#       |--------- mallory  nobody's            may: nothing
#       |--------- web      tag:web-frontend
#       `--------- print    tag:printer
#
# Overlay 10.201.0.0/16 and fd77:1:2::/48.
# limit: 240
LAB_NET4=198.51.100 LAB_NET6=2001:db8:77 LAB_PORT=10443
. "$(dirname "$0")/lib.sh"

make_policy()
{
	cat <<-'END'
	[group ops]
	members = user:grace@navy.example
	[resource frontend]
	on    = tag:web-frontend
	ports = tcp/7001, udp/7002, tcp/7100-7109
	[resource printers]
	on    = tag:printer
	ports = icmp
	[rule ops-frontend]
	who  = group:ops
	what = resource:frontend
	why  = Operations runs the site
	[rule ops-printers]
	who  = group:ops
	what = resource:printers
	why  = Somebody must see whether it is on
	END
}

# All of a row at once: a sample of ports below 1024, and around what is granted.
ports="1-200 443 512-600 1023 5353 7000-7003 7099-7110 8080 51820 65535"

# shellcheck disable=SC2086
sample()
{
	only_open "$1" "$2" -t 1200 "$3" "$4" $ports
}

nothing_passes()
{
	local from=$1 to=$2 a

	for a in "${address[$to]}" "${address6[$to]}"; do
		check "$from -> $to $a: no TCP port" sample "" "$from" tcp "$a"
		check "$from -> $to $a: no UDP port" sample "" "$from" udp "$a"
		check "$from -> $to $a: no ping" denied pings "$from" "$a"
	done
}

peers_of()
{
	on "$1" wg show zt0 peers | wc -l
}

allowed_ips_are_hosts()
{
	! on "$1" wg show zt0 allowed-ips | cut -f 2 | tr ' ' '\n' | grep -vE '/(32|128)$|^\(none\)$'
}

lab_start grace mallory web print
# shellcheck disable=SC2086
for name in grace web print; do serve "$name" $ports; done
controller_start --network 10.201.0.0/16 --network6 fd77:1:2::/48
node_join grace --user grace@navy.example
node_join mallory --user mallory@navy.example
node_join web --tag web-frontend
node_join print --tag printer
nodes_ready grace mallory web print

note "no policy yet"
check "addresses are of the network that init was told" \
	grep -qE '^10\.201\.[0-9.]+ fd77:1:2:' <<<"${address[grace]} ${address6[grace]}"
nothing_passes grace web
check "nobody has a peer" test "$(peers_of grace)$(peers_of mallory)$(peers_of web)$(peers_of print)" = 0000

must policy_put "who may what" < <(make_policy)
note "with the policy"
check "grace reaches what she may" await 10 reaches grace tcp "${address[web]}" 7001
for a in "${address[web]}" "${address6[web]}"; do
	check "$a: exactly the granted TCP ports" \
		sample "7001 7100 7101 7102 7103 7104 7105 7106 7107 7108 7109" grace tcp "$a"
	check "$a: exactly the granted UDP port" sample 7002 grace udp "$a"
	check "$a: no ping, it is not granted" denied pings grace "$a"
	check "$a: large datagrams in fragments pass where granted" probe grace -b 5000 udp "$a" 7002
	check "$a: and not elsewhere" denied probe grace -t 1200 -b 5000 udp "$a" 7003
done
for a in "${address[print]}" "${address6[print]}"; do
	check "$a: ping is granted" await 5 pings grace "$a"
	check "$a: and no TCP port" sample "" grace tcp "$a"
	check "$a: and no UDP port" sample "" grace udp "$a"
done

for name in grace mallory web print; do
	check "$name: nothing is to be done in the kernel" has_no_plan "$name"
	check "$name: and nothing ever had to be put right" denied grep "put right" "$lab/$name.log"
done

note "never the reverse"
nothing_passes web grace
nothing_passes print grace
stop serve:web || true # it holds the ports
for a in "${address[grace]}" "${address6[grace]}"; do
	check "web -> $a: nor from a port that grace may talk to" \
		only_open "" web -t 1200 -s 7001 tcp "$a" 1-100 7000-7003 65535
	check "web -> $a: nor by UDP from there" \
		only_open "" web -t 1200 -s 7002 udp "$a" 1-100 7000-7003 65535
done

# shellcheck disable=SC2086
serve web $ports

note "others"
nothing_passes mallory web
nothing_passes web print
check "each has the peers it needs and no more" \
	test "$(peers_of grace)$(peers_of mallory)$(peers_of web)$(peers_of print)" = 2011
for name in grace web print; do
	check "$name: allowed IPs are single addresses" allowed_ips_are_hosts "$name"
done

note "past the tunnel: the same wire, the overlay address as destination"
neighbour=$(underlay web)
must on mallory ip route add "${address[web]}/32" via "$neighbour" dev eth0
check "mallory does not reach web's overlay address over the underlay" sample "" mallory tcp "${address[web]}"
must on mallory ip -6 route add "${address6[web]}/128" via "$LAB_NET6::${neighbour##*.}" dev eth0
check "nor over IPv6" sample "" mallory tcp "${address6[web]}"
must on mallory ip address add "${address[grace]}/32" dev lo
check "nor with grace's address as source" \
	denied probe mallory -t 1000 -a "${address[grace]}" tcp "${address[web]}" 7001

note "a source that lies: no daemon, no filter of its own"
node_kill grace
must on grace nft flush ruleset
check "the tunnel is still there" reaches grace tcp "${address[web]}" 7001
check "the destination's filter is enough (TCP)" \
	sample "7001 7100 7101 7102 7103 7104 7105 7106 7107 7108 7109" grace tcp "${address[web]}"
check "the destination's filter is enough (UDP)" sample 7002 grace udp "${address[web]}"
check "the destination's filter is enough (ping)" denied pings grace "${address[web]}"
must on grace ip address add "${address[mallory]}/32" dev zt0
check "another source address does not pass WireGuard" \
	denied probe grace -t 1000 -a "${address[mallory]}" tcp "${address[web]}" 7001
