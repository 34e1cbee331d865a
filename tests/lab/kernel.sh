#!/bin/bash
cd "$(dirname "$(readlink -f "$0")")/../.."
if [ -z "${ZT_LAB:-}" ]; then
	make -s B=${B:-build} ${B:-build}/lib/{n_kern,n_core,sys,proto,base}.a ${B:-build}/tests/lab/kernel_{test,lab}.o || exit
	gcc -pie -o ${B:-build}/tests/lab/kernel_test ${B:-build}/tests/lab/kernel_{test,lab}.o  -Wl,--start-group ${B:-build}/lib/{n_kern,n_core,sys,proto,base}.a -Wl,--end-group $(pkg-config --libs libmnl libnftnl libsodium) -lcap-ng -lseccomp || exit
	exec scripts/lab-run -t 120 -- env B=${B:-build} "$0"
fi
ip -batch - <<X
netns add sw
netns add a
netns add b
netns add c
netns add big
link add hub netns sw type bridge
link add eth0 netns a type veth peer name a netns sw
link add eth0 netns b type veth peer name b netns sw
link add eth0 netns c type veth peer name c netns sw
X
for n in a b c; do ip -n sw link set dev $n master hub up; ip -n $n link set eth0 up;ip -n $n link set lo up; done
ip -n sw link set hub up
ip -n a addr add 192.0.2.1/24 dev eth0
ip -n b addr add 192.0.2.2/24 dev eth0
ip -n c addr add 192.0.2.3/24 dev eth0
exec $B/tests/lab/kernel_test
