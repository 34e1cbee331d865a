#!/bin/bash
# The shipped units: well-formed, and exposed no more than this (systemd-analyze security, lower is better).
# docs/bench.md tells each point.
set -euo pipefail

cd "$(dirname "$(readlink -f "$0")")/../.."
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

if ! systemd-analyze security --help 2>/dev/null | grep -- --offline >/dev/null; then
	echo "ok - # SKIP no systemd-analyze that works offline"
	exit 0
fi

verdict()
{
	if [ "$1" -eq 0 ]; then
		echo "ok - $2"
	else
		echo "not ok - $2"
		failed=1
	fi
}

# UNIT BOUND
exposed_at_most()
{
	local unit=$1 bound=$2 level

	systemd-analyze security --offline=yes --no-pager "$dir/$unit" >"$dir/log"
	level=$(sed -nE 's/.*exposure level for .*: ([0-9]+\.[0-9]+) .*/\1/p' "$dir/log")
	verdict "$(awk -v l="$level" -v b="$bound" 'BEGIN { print !(l != "" && l <= b) }')" "$unit is exposed $level, at most $bound"
}

# Neither the missing manual nor where we install matters here.
is_well_formed()
{
	local unit=$1 status=0

	systemd-analyze verify "$dir/$unit" 2>&1 | grep -vE "Command 'man .*failed with code" >"$dir/log" || true
	[ ! -s "$dir/log" ] || status=1
	verdict "$status" "$unit is well-formed"
	sed 's/^/# /' "$dir/log"
}

for unit in packaging/*.service packaging/*.socket; do
	sed 's|@bindir@/[a-z]*|/bin/true|' "$unit" >"$dir/${unit##*/}"
done
for unit in "$dir"/*.service "$dir"/*.socket; do
	is_well_formed "${unit##*/}"
done
# What parses strangers' bytes is not root, has no capability, and cannot get one. UNIT USER
is_unprivileged()
{
	local unit=$1 user=$2 wanted

	for wanted in "User=$user" "Group=$user" CapabilityBoundingSet= AmbientCapabilities= NoNewPrivileges=yes; do
		verdict "$(awk -v key="${wanted%%=*}" -v want="$wanted" \
			'index($0, key "=") == 1 { last = $0; n++ } END { print !(n == 1 && last == want) }' "$dir/$unit")" \
			"$unit: $wanted"
	done
	verdict "$(awk -v user="$user" '$1 == "u" && $2 == user { n = $3 } END { print !(n != "" && n != 0) }' \
		packaging/sysusers.conf)" "$user is a user of its own, not root"
	# A sign before the program would give it back what it must not have.
	verdict "$(awk '/^Exec/ && /=[-@:]*[+!]/ { bad = 1 } END { print bad + 0 }' "$dir/$unit")" \
		"$unit starts nothing with more rights"
}

is_unprivileged ztcontroller.service ztcontroller
exposed_at_most ztcontroller.service 1.5
exposed_at_most ztnode.service 1.5
exposed_at_most ztnode-kern.service 2.5
exit "$failed"
