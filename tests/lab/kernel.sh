#!/bin/bash
# The network of kernel_test.c (drawn there), and the test in it. In the lab, as scripts/check starts it, or by itself:
#
#   tests/lab/kernel.sh [--valgrind]
#
# limit: 300
set -euo pipefail

cd "$(dirname "$(readlink -f "$0")")/../.."
build=${B:-build}

if [ -z "${ZT_LAB:-}" ]; then
	make --no-print-directory -s "B=$build" "$build/tests/lab/kernel_test"
	exec scripts/lab-run -t 300 -- env "B=$build" bash tests/lab/kernel.sh "$@"
fi

under=()
if [ "${1:-}" = --valgrind ]; then
	under=(valgrind -q --error-exitcode=99 --leak-check=full --track-origins=yes --track-fds=no)
fi

ip -batch - <<-END
	netns add hub
	netns add a
	netns add b
	netns add c
	netns add big
	netns add pod
	link add hub netns hub type bridge
	link add eth0 netns a type veth peer name a netns hub
	link add eth0 netns b type veth peer name b netns hub
	link add eth0 netns c type veth peer name c netns hub
	link add eth0 netns pod type veth peer name pod0 netns b
END
ip -n pod -batch - <<-END
	link set dev lo up
	link set dev eth0 up
	address add 172.17.0.2/16 dev eth0
	address add fd17::2/64 dev eth0 nodad
	route add default via 172.17.0.1
	route add default via fd17::1
END
ip -n hub -batch - <<-END
	link set dev hub up
	link set dev a master hub up
	link set dev b master hub up
	link set dev c master hub up
END
number=1
for name in a b c; do
	ip -n $name -batch - <<-END
		link set dev lo up
		link set dev eth0 up
		address add 192.0.2.$number/24 dev eth0
		address add 2001:db8:2::$number/64 dev eth0 nodad
	END
	number=$((number + 1))
done
ip -n b -batch - <<-END
	link set dev pod0 up
	address add 172.17.0.1/16 dev pod0
	address add fd17::1/64 dev pod0 nodad
END
"${under[@]}" "$build/tests/lab/kernel_test"
