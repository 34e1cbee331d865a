# shellcheck shell=bash disable=SC1091,SC2034,SC2154
# The lease: access outlives the controller until it ends, and not a moment longer, whoever is still alive.
#
#      wan ------- ctl                 lease 6 s
#       |--------- uma      laptop of uma@tide.example
#       `--------- gauge    tag:gauge    tcp/502
#
# limit: 200
. "$(dirname "$0")/lib.sh"

make_policy()
{
	cat <<-END
	[network]
	lease = ${1:-6s}
	[resource gauges]
	on    = tag:gauge
	ports = tcp/502
	[rule read]
	who  = user:uma@tide.example
	what = resource:gauges
	why  = The tide is read hourly
	END
}

# uma's connection, from now on: goes on for so long, is cut before so long.
lives_until()
{
	local what=$1 least_ms=$2 most_ms=$3 start=$4 lived

	check "$what: the connection ends" await 20 is_cut x
	lived=$((($(cut_at x) - start) / 1000))
	check "$what: it lived $lived ms, wanted $least_ms to $most_ms" \
		test "$lived" -ge "$least_ms" -a "$lived" -le "$most_ms"
	check "$what: no new one" denied reaches uma tcp "$gauge" 502
	hold_end x
}

lab_start uma gauge
serve gauge 502
controller_start
must policy_put < <(make_policy)
node_join uma --user uma@tide.example
node_join gauge --tag gauge
nodes_ready uma gauge
gauge=${address[gauge]}
check "uma reads the gauge" await 10 reaches uma tcp "$gauge" 502
check "the lease is what the policy says" has uma '.lease.remaining_s <= 6'
check "a connection is open" hold x uma "$gauge" 502
check "renewals do not disturb it" stays 9 is_held x

note "the controller is killed"
now_us
start=$now
stop controller KILL || true
# Renewed every third of 6 s, so about 4 s were left at least.
lives_until "without the controller" 2500 7000 "$start"
check "status says it: the lease is over" await 5 has uma '.lease.remaining_s <= 0 and .controller.connected == false'
check "why says it" says 'lease' ends_with 4 node uma why "$gauge" tcp/502
check "the daemon runs on" is_running uma

note "the controller comes back"
must controller_serve
check "and with it access" await 30 reaches uma tcp "$gauge" 502

note "everybody is killed; only the kernel is left"
check "a connection is open again" hold x uma "$gauge" 502
now_us
start=$now
stop controller KILL || true
node_kill uma
node_kill gauge
check "the interface is still there" on uma ip link show zt0
lives_until "kernel alone" 2500 7000 "$start"
check "no grant is left in the filter" await 6 denied says 'expires' on gauge nft list table inet ztnode

note "started again without the controller: nothing of the old lease comes back"
node_start uma
node_start gauge
check "status answers" await 10 has uma '.controller.connected == false'
check "no access" stays 3 denied reaches uma tcp "$gauge" 502
must controller_serve
check "until the controller is back" await 30 reaches uma tcp "$gauge" 502

note "a reboot without the controller, within the lease"
must policy_put "longer" < <(make_policy 30s)
check "the new lease arrives" await 10 has uma '.lease.remaining_s > 10'
stop controller KILL || true
node_kill uma
must on uma ip link del zt0
must on uma nft delete table inet ztnode
node_start uma
check "access comes back from the map on disk" await 10 reaches uma tcp "$gauge" 502
