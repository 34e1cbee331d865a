# shellcheck shell=bash disable=SC1091,SC2034,SC2154
# Leases of resources: with the controller gone a short one ends first, then the network's, and a long one lives on in its
# open connection until its own end; by the daemons, by the kernel alone and after a reboot. Reachable, the controller takes
# away at once whatever the lease is.
#
#      wan ------- ctl                 lease 20 s
#       |--------- ida    laptop of ida@gate.example
#       |--------- sluice tag:sluice    tcp/7005 lease 5 s, tcp/7020, tcp/7060 lease 60 s
#       `--------- gauge  tag:gauge     tcp/7021
#
# limit: 420
. "$(dirname "$0")/lib.sh"

# The lease of tcp/7060, and who may use it all.
make_policy()
{
	cat <<-END
	[network]
	lease = 20s
	[resource short]
	on    = tag:sluice
	ports = tcp/7005
	lease = 5s
	[resource plain]
	on    = tag:sluice
	ports = tcp/7020
	[resource long]
	on    = tag:sluice
	ports = tcp/7060
	lease = ${1:-60s}
	[resource gauge]
	on    = tag:gauge
	ports = tcp/7021
	[rule operate]
	who  = ${2:-user:ida@gate.example}
	what = resource:*
	why  = The sluice is moved with the tide
	END
}

# $1's connection lived for so long after $start, in ms.
lived()
{
	local name=$1 least=$2 most=$3 ms

	check "$name ends" await 70 is_cut "$name"
	ms=$((($(cut_at "$name") - start) / 1000))
	check "$name lived $ms ms, wanted $least to $most" test "$ms" -ge "$least" -a "$ms" -le "$most"
	hold_end "$name"
}

opens()
{
	only_open "$1" ida -t 1500 tcp "$sluice" 7005 7020 7060
}

peers()
{
	[ "$(on "$1" wg show zt0 peers | wc -l)" -eq "$2" ]
}

all_open()
{
	opens "7005 7020 7060" && reaches ida tcp "$gauge" 7021
}

lab_start ida sluice gauge
serve sluice 7005 7020 7060
serve gauge 7021
controller_start
must policy_put < <(make_policy 60s user:nobody@gate.example)
node_join ida --user ida@gate.example
node_join sluice --tag sluice
node_join gauge --tag gauge
nodes_ready ida sluice gauge
sluice=${address[sluice]}
gauge=${address[gauge]}
check "without the rule nothing is open" opens ""
check "nor is there a peer" peers ida 0
must policy_put "let her in" < <(make_policy)
check "with it all is" await 15 all_open
check "the map has the network's lease" has ida '.lease.remaining_s <= 20'
check "status says which access ends when" has ida \
	'(.grants | map({(.ports): .expires}) | add) as $e | $e["7005"] < $e["7020"] and $e["7020"] < $e["7060"]'
check "short is open" hold short ida "$sluice" 7005
check "plain is open" hold plain ida "$sluice" 7020
check "long is open" hold long ida "$sluice" 7060
check "renewals disturb none of them" stays 9 is_held short
check "plain is held" is_held plain
check "long is held" is_held long

note "the controller is killed"
now_us
start=$now
stop controller KILL || true
# Renewed every third of 5 s, for all of them, and the kernel every other time: that much is gone of each at most.
lived short 1000 6500
check "the others go on" opens "7020 7060"
check "why says no to the short one" ends_with 4 node ida why "$sluice" tcp/7005
check "and yes to the long one" node ida why "$sluice" tcp/7060
lived plain 15500 22000
check "only the long one answers, to new connections too" opens "7060"
check "the other machine is gone" denied reaches ida tcp "$gauge" 7021
check "and is no peer any more" await 5 peers ida 1
check "nor is the laptop one of it" await 5 peers gauge 0
check "the lease of the map is over" has ida '.lease.remaining_s <= 0 and (.grants | length) == 1'
check "why says yes to the long one still" node ida why "$sluice" tcp/7060
check "and that the lease is over for the plain one" says 'lease' ends_with 4 node ida why "$sluice" tcp/7020
check "the kernel is as it should be" has_no_plan ida
check "long is held" is_held long
lived long 55500 63000
check "nothing is open" opens ""
check "and nobody is a peer" await 5 peers ida 0
check "at the other end neither" await 5 peers sluice 0

note "the controller comes back, and everybody is killed; only the kernel is left"
must controller_serve
check "all is open again" await 30 all_open
check "short is open" hold short ida "$sluice" 7005
check "plain is open" hold plain ida "$sluice" 7020
check "long is open" hold long ida "$sluice" 7060
now_us
start=$now
stop controller KILL || true
node_kill ida
node_kill sluice
lived short 1000 6500
lived plain 15500 22000
check "long is held" is_held long
hold_end long

note "a reboot of the laptop without the controller"
must on ida ip link del zt0
must on ida nft delete table inet ztnode
node_start ida
check "the long one comes back from the map on disk" await 10 opens "7060"
check "and its peer alone" peers ida 1
check "long is open again" hold long ida "$sluice" 7060
lived long 55500 63000
check "until its own end" opens ""

note "with the controller a long lease is no longer than its word"
node_start sluice
must controller_serve
must policy_put "a day" < <(make_policy 1d)
check "all is open again" await 30 all_open
check "a day of lease" await 10 has ida '[.grants[] | select(.ports == "7060")] | length == 1 and
	(.[0].expires | fromdate) > now + 80000'
check "long is open" hold long ida "$sluice" 7060
now_us
start=$now
must policy_put "out" < <(make_policy 1d user:nobody@gate.example)
lived long 0 5000
check "nothing is open" opens ""
