# shellcheck shell=bash disable=SC1091,SC2034,SC2154
# What a node costs and how fast it cuts, in the lab: `ann` with ten peers.
#
#      wan ------- ctl
#       |--------- ann      laptop of ann@bench.example, complies as long as there is no file /etc/ztnode/broken
#       `--------- files    tag:files, tcp/8445; and nine more devices of that tag, enrolled, that never run
set -euo pipefail
. "$(dirname "$0")/../lab/lib.sh"
. "$(dirname "$0")/lib.sh"

ROUNDS=${ROUNDS:-30}
PEERS=10
broken=$lab/ann/etc/broken
asked=()

make_policy()
{
	cat <<-'END'
	[resource files]
	on    = tag:files
	ports = tcp/8445
	[posture whole]
	require = file.exists:/etc/ztnode/broken == false
	[rule files]
	who  = user:ann@bench.example
	what = resource:files
	how  = posture:whole
	why  = Something to be cut
	END
}

set_up()
{
	local secret i

	lab_start ann files
	controller_start
	must policy_put < <(make_policy)
	secret=$(token --tag files --uses "$PEERS")
	for ((i = 1; i < PEERS; i++)); do
		must on files ztnode --state "/tmp/state-$i" enroll "$secret" --name "files-$i"
	done
	must node_enroll files "$secret" --name files
	node_start files
	serve files 8445
	node_join ann --user ann@bench.example
	nodes_ready ann files
	files=${address[files]}
	must await 15 reaches ann tcp "$files" 8445
	must await 5 has ann ".peers | length == $PEERS"
}

events()
{
	grep -c "^$1 " "$lab/hold-x.log" || true
}

has_events()
{
	[ "$(events "$1")" -ge "$2" ]
}

# One clock for both ends of the interval. Nothing else runs on the lab's only CPU meanwhile: no process is started from
# the failing fact until the connection has long been silent.
cut_once()
{
	local round=$1

	pause 0.3
	now_us
	: >"$broken"
	asked+=("$now")
	pause 0.6
	must await 10 has_events cut "$round"
	must denied reaches ann tcp "$files" 8445
	rm "$broken"
	must await 15 has_events back "$round"
}

# hold says when the last byte came back before a silence: never before the cut was asked for.
cut_times()
{
	local i=0 at

	while read -r at; do
		[ "$at" -ge "${asked[$i]}" ] || { echo "not ok - a cut before it was asked for" >&2; return 1; }
		echo $(((at - asked[i]) / 100))
		i=$((i + 1))
	done < <(sed -n 's/^cut //p' "$lab/hold-x.log") | awk '{ print $1 / 10 }'
	[ "$(events cut)" -eq "$ROUNDS" ]
}

bench_cut()
{
	local round

	start hold:x ann hold-x.log "$tool" hold -g 250 -i 1 "$files" 8445
	must await 10 has_events open 1
	for ((round = 1; round <= ROUNDS; round++)); do
		cut_once "$round"
	done
	cut_times >"$lab/times"
	figure "posture fails -> last packet, median of $ROUNDS" "$(percentile 50 <"$lab/times")" ms "<=" 50
	figure "posture fails -> last packet, p99" "$(percentile 99 <"$lab/times")" ms "<=" 50
	stop hold:x || true
}

bench_memory()
{
	local kern net super rss_kern rss_net

	kern=$(role_pid ann kern)
	net=$(role_pid ann net)
	super=${pids[ann]}
	rss_kern=$(proc_kib VmRSS "$kern/status")
	rss_net=$(proc_kib VmRSS "$net/status")
	figure "ztnode, privileged role, $PEERS peers (VmRSS)" "$(mib "$rss_kern")" MiB "<=" 8
	figure "ztnode, talking role, $PEERS peers (VmRSS)" "$(mib "$rss_net")" MiB "<=" 8
	figure "ztnode, both roles (VmRSS)" "$(mib $((rss_kern + rss_net)))" MiB "<=" 12
	figure "ztnode, supervisor (VmRSS)" "$(mib "$(proc_kib VmRSS "$super/status")")" MiB
	figure "ztnode, the three, shared pages once (Pss)" "$(mib $(($(proc_kib Pss "$kern/smaps_rollup") + \
		$(proc_kib Pss "$net/smaps_rollup") + $(proc_kib Pss "$super/smaps_rollup"))))" MiB
}

set_up
bench_cut
bench_memory
