# shellcheck shell=bash disable=SC1091,SC2034,SC2154
# What a node costs and how fast it cuts, in the lab: `ann` with ten peers.
#
#      wan ------- ctl
#       |--------- ann      laptop of ann@bench.example, complies as long as there is no file /etc/ztnode/broken
#       `--------- files    tag:files, udp/8445; and nine more devices of that tag, enrolled, that never run
set -euo pipefail
. "$(dirname "$0")/../lab/lib.sh"
. "$(dirname "$0")/lib.sh"

ROUNDS=${ROUNDS:-30}
PEERS=10
broken=$lab/ann/etc/broken

make_policy()
{
	cat <<-'END'
	[resource files]
	on    = tag:files
	ports = udp/8445
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
	must controller_init
	must install -m 755 "$programs/tests/lab/shift_clock.so" "$lab/shift_clock.so"
	echo 0 0 >"$lab/clock"
	chmod 644 "$lab/clock"
	must controller_serve "$lab/ctl/var/c" env "LD_PRELOAD=$lab/shift_clock.so" "SHIFT_CLOCK=$lab/clock"
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
	must await 15 reaches ann udp "$files" 8445
	stop serve:files || true
	must await 5 has ann ".peers | length == $PEERS"
}

bench_cut()
{
	"$programs/tests/bench/cut" ann files "$files" 8445 "$broken" "$ROUNDS" "$lab/clock" >"$lab/times"
	[ "$(wc -l <"$lab/times")" -eq "$ROUNDS" ]
	figure "posture fails -> last packet arrives, median of $ROUNDS" "$(cut_ms 1 50)" ms "<=" 50
	figure "posture fails -> last packet arrives, p99" "$(cut_ms 1 99)" ms "<=" 50
	figure "posture fails -> first packet lost, median" "$(cut_ms 2 50)" ms "<=" 50
	figure "posture fails -> first packet lost, p99" "$(cut_ms 2 99)" ms "<=" 50
}

# Of that column of what cut prints
cut_ms()
{
	cut -d' ' -f"$1" "$lab/times" | percentile "$2" | awk '{ printf "%.1f", $1 / 1000 }'
}

bench_memory()
{
	local kern net super rss_kern rss_net

	kern=$(role_pid ann kern)
	net=$(role_pid ann net)
	super=${pids[ann]}
	rss_kern=$(proc_kib VmRSS "$kern/status")
	rss_net=$(proc_kib VmRSS "$net/status")
	figure "ztnode, privileged role, $PEERS peers (VmRSS)" "$(mb "$rss_kern")" MB "<=" 8
	figure "ztnode, talking role, $PEERS peers (VmRSS)" "$(mb "$rss_net")" MB "<=" 8
	figure "ztnode, both roles (VmRSS)" "$(mb $((rss_kern + rss_net)))" MB "<=" 12
	figure "ztnode, supervisor (VmRSS)" "$(mb "$(proc_kib VmRSS "$super/status")")" MB
	figure "ztnode, the three, shared pages once (Pss)" "$(mb $(($(proc_kib Pss "$kern/smaps_rollup") + \
		$(proc_kib Pss "$net/smaps_rollup") + $(proc_kib Pss "$super/smaps_rollup"))))" MB
}

set_up
bench_cut
bench_memory
