#!/bin/bash
# What the tests may rely on inside of the lab. Run by selftest-host.sh, or on its own:
#   scripts/lab-run scripts/lab/selftest.sh
#
#      alice                                        bob
#   wg0 100.64.0.1 fd64::1                wg0 100.64.0.2 fd64::2
#   eth0 10.0.0.1 ---------- veth ----------- eth0 10.0.0.2
#
# Prints "ok - ..." or "not ok - ..." for each fact; fails when one does not hold.
set -euo pipefail

failed=0
dir=$(mktemp -d /tmp/selftest.XXXXXX)
trap 'rm -rf "$dir"' EXIT

# A fact is a sentence and the command that shows it.
check()
{
	local fact=$1

	shift
	if "$@" >"$dir/log" 2>&1; then
		echo "ok - $fact"
	else
		echo "not ok - $fact"
		sed 's/^/# /' "$dir/log"
		failed=$((failed + 1))
	fi
}

fails()
{
	! "$@"
}

# Tries until it holds, at most about five seconds.
eventually()
{
	for _ in {1..50}; do
		! "$@" || return 0
		sleep 0.1
	done
	return 1
}

alice() { ip netns exec alice "$@"; }
bob() { ip netns exec bob "$@"; }

# WireGuard between two namespaces.

make_namespaces()
{
	ip netns add alice
	ip netns add bob
	ip link add eth0 netns alice type veth peer name eth0 netns bob
	ip -n alice address add 10.0.0.1/24 dev eth0
	ip -n bob address add 10.0.0.2/24 dev eth0
	ip -n alice link set eth0 up
	ip -n bob link set eth0 up
}

make_wireguard()
{
	local who=$1 number=$2

	(umask 077 && wg genkey >"$dir/$who.key")
	ip -n "$who" link add wg0 type wireguard
	ip netns exec "$who" wg set wg0 listen-port 51820 private-key "$dir/$who.key"
	ip -n "$who" address add "100.64.0.$number/24" dev wg0
	ip -n "$who" address add "fd64::$number/64" dev wg0 nodad
	ip -n "$who" link set wg0 up
}

permit()
{
	alice wg set wg0 peer "$(wg pubkey <"$dir/bob.key")" \
		endpoint 10.0.0.2:51820 allowed-ips 100.64.0.2/32,fd64::2/128
	bob wg set wg0 peer "$(wg pubkey <"$dir/alice.key")" \
		allowed-ips 100.64.0.1/32,fd64::1/128
}

has_handshake()
{
	bob wg show wg0 latest-handshakes | grep -v '[[:space:]]0$' >/dev/null
}

check_wireguard()
{
	make_namespaces
	check "the veth pair carries packets" alice ping -c 1 -W 5 10.0.0.2
	make_wireguard alice 1
	make_wireguard bob 2
	check "nothing passes the tunnel before a peer is set" fails alice ping -c 1 -W 1 100.64.0.2
	check "nor over IPv6" fails alice ping -c 1 -W 1 fd64::2
	permit
	check "the tunnel carries IPv4 after that" alice ping -c 1 -W 5 100.64.0.2
	check "and IPv6" alice ping -c 1 -W 5 fd64::2
	check "a handshake was made" has_handshake
}

# nftables, an inet table with a set whose elements go away.

make_table()
{
	bob nft -f - <<-'END'
	table inet selftest {
		set allowed {
			type ipv4_addr . inet_service
			flags timeout
		}
		chain input {
			type filter hook input priority filter; policy accept;
			iifname "wg0" ct state established,related accept
			iifname "wg0" ip saddr . tcp dport @allowed accept
			iifname "wg0" meta l4proto tcp counter reject with tcp reset
		}
	}
	END
}

reaches()
{
	alice nc -z -w 2 100.64.0.2 8080
}

# Its own process, so that $! is what has to be ended.
listen()
{
	exec ip netns exec bob nc -lk 0.0.0.0 8080
}

check_nftables()
{
	listen &
	check "a server is reached while there is no table" eventually reaches
	check "an inet table with a concatenated set loads" make_table
	check "an address that is not in the set is refused" fails reaches
	bob nft add element inet selftest allowed '{ 100.64.0.1 . 8080 timeout 2s }'
	check "one that is in it passes" reaches
	check "until its timeout takes it out" eventually fails reaches
	kill $!
}

# Files: /tmp and /run are tmpfs, all else is an overlay of the host's. Where the caller on the host
# is not root, his rights are the limit of what can be read, so /root is left out.

show_inotify()
{
	python3 - "$1" <<-'END'
	import ctypes, os, sys
	libc = ctypes.CDLL(None, use_errno=True)
	fd = libc.inotify_init1(0)
	assert libc.inotify_add_watch(fd, sys.argv[1].encode(), 0x100) > 0   # IN_CREATE
	open(sys.argv[1] + "/watched", "w").close()
	assert b"watched" in os.read(fd, 4096)
	END
}

show_unix_socket()
{
	local server

	nc -lU "$1/socket" >"$1/heard" &
	server=$!
	eventually test -S "$1/socket"
	echo hello | nc -NU "$1/socket"
	wait "$server"
	grep -qx hello "$1/heard"
}

show_wal()
{
	local mode

	mode=$(sqlite3 "$1/db" 'pragma journal_mode=wal; create table t(a); insert into t values(7);')
	[ "$mode" = wal ] && [ "$(sqlite3 "$1/db" 'select a from t')" = 7 ]
}

show_flock()
{
	flock "$1/lock" bash -c '! flock -n "$1/lock" true' lock "$1"
}

show_exec()
{
	cp /bin/true "$1/program" && "$1/program"
}

check_files()
{
	local place mine

	for place in /tmp /run /etc /var/lib /root; do
		ls "$place" >/dev/null 2>&1 || continue
		mine=$(mktemp -d "$place/selftest.XXXXXX")
		check "$place: a program runs" show_exec "$mine"
		check "$place: flock excludes" show_flock "$mine"
		check "$place: a unix socket connects" show_unix_socket "$mine"
		check "$place: mkfifo" mkfifo "$mine/fifo"
		check "$place: inotify tells" show_inotify "$mine"
		check "$place: sqlite writes ahead" show_wal "$mine"
		rm -rf "$mine"
	done
	check "a file of the host can be changed" sed -i 's/^/#/' /etc/hosts
	check "a folder of the host can be renamed" mv /etc/skel /etc/skel.selftest
	mv /etc/skel.selftest /etc/skel
}

check_machine()
{
	check "we are root" test "$(id -u)" -eq 0
	check "loopback is up" ping -c 1 -W 5 127.0.0.1
	check "a user namespace can be made" unshare --user --map-root-user true
	check "bash has /dev/fd" bash -c 'read -r line < <(echo x) && [ "$line" = x ]'
}

check_machine
check_wireguard
check_nftables
check_files
[ "$failed" -eq 0 ]
