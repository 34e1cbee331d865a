# shellcheck shell=bash
# Words of the benchmarks. A figure is a line of fields divided by "|", which scripts/bench makes a table of:
#
#   figure|WHAT|MEASURED|BOUND|ok or over        BOUND and verdict are "-" where there is none

# What, value, unit, "<=" or ">=" and the bound, or neither
figure()
{
	local what=$1 value=$2 unit=$3 sign=${4:-} bound=${5:-} verdict

	[ -n "$sign" ] || { echo "figure|$what|$value $unit|-|-"; return; }
	verdict=$(awk -v v="$value" -v b="$bound" -v s="$sign" 'BEGIN { print (s == "<=" ? v <= b : v >= b) ? "ok" : "over" }')
	echo "figure|$what|$value $unit|$sign $bound $unit|$verdict"
}

# Of numbers, a line each: the one that PERCENT of them do not exceed
percentile()
{
	sort -n | awk -v p="$1" '{ v[NR] = $1 } END { i = int((NR * p + 99) / 100); print v[i < 1 ? 1 : i] }'
}

# KiB, from a file of /proc: "VmRSS" PID/status, "Pss" PID/smaps_rollup
proc_kib()
{
	awk -v name="$1:" '$1 == name { print $2; exit }' "/proc/$2"
}

# MB (a million bytes) of KiB
mb()
{
	awk -v k="$1" 'BEGIN { printf "%.1f", k * 1024 / 1e6 }'
}
