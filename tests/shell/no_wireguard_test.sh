#!/bin/bash
# On a kernel without WireGuard the daemon says so in one line and a hint, status 1, and leaves nothing behind.
# Runs on the machine itself, in a network namespace of its own; skipped where there is WireGuard.
set -euo pipefail

project=$(dirname "$(dirname "$(dirname "$(readlink -f "$0")")")")
programs=${ZT_PROGRAMS:-$project/build}

if [ "${1:-}" != inside ]; then
	if [ "$(id -u)" -ne 0 ] || "$project/scripts/lab-kernel" native; then
		echo "ok - # SKIP only as root on a kernel without WireGuard"
		exit 0
	fi
	exec unshare --net --mount --fork --kill-child --pid "$0" inside
fi

dir=$(mktemp -d)
controller=
trap '[ -z "$controller" ] || kill "$controller" 2>/dev/null; rm -rf "$dir"' EXIT

ready()
{
	for _ in {1..100}; do
		! grep -qx ready "$dir/ready" || return 0
		sleep 0.1
	done
	echo "not ok - the controller is not ready"
	exit 1
}

ip link set lo up
"$programs/ztcontroller" init --dir "$dir/c" --url https://127.0.0.1:8443 >/dev/null 2>&1
"$programs/ztcontroller" serve --dir "$dir/c" --listen 127.0.0.1:8443 >"$dir/ready" 2>/dev/null &
controller=$!
ready
token=$(ZTCTL_ADMIN=$dir/c/admin.key "$programs/ztctl" token create --user nobody@example.com)
node=("$programs/ztnode" --state "$dir/state" --run "$dir/run")
"${node[@]}" enroll "$token" >/dev/null 2>&1 || { echo "not ok - enrolling takes no WireGuard"; exit 1; }
echo "ok - enrolling takes no WireGuard"
status=0
timeout 20 "${node[@]}" run >/dev/null 2>"$dir/said" || status=$?
if [ "$status" -eq 1 ] && grep -q WireGuard "$dir/said" && [ "$(wc -l <"$dir/said")" -le 2 ]; then
	echo "ok - run says that there is no WireGuard"
else
	echo "not ok - run says that there is no WireGuard (status $status)"
	sed 's/^/# /' "$dir/said"
fi
if ip link show zt0 >/dev/null 2>&1 || nft list table inet ztnode >/dev/null 2>&1; then
	echo "not ok - nothing is left in the kernel"
else
	echo "ok - nothing is left in the kernel"
fi
