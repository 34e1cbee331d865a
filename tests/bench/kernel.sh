#!/bin/bash
# What programming the kernel costs, beside wg and nft (kernel_bench.c).
#
#   tests/bench/kernel.sh
set -euo pipefail

cd "$(dirname "$(readlink -f "$0")")/../.."
build=${B:-build}

if [ -z "${ZT_LAB:-}" ]; then
	make --no-print-directory -s "B=$build" "$build/tests/bench/kernel_bench"
	exec scripts/lab-run -t 300 -- env "B=$build" bash tests/bench/kernel.sh
fi
ip link set dev lo up
exec "$build/tests/bench/kernel_bench"
