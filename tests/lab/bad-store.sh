# shellcheck shell=bash disable=SC1091,SC2034,SC2154
# What is wrong around the controller: one clear line, exit code 1, nothing lost.
#
#      wan ------- ctl
. "$(dirname "$0")/lib.sh"

dir()
{
	echo "$lab/ctl/var/$1"
}

serve_dir()
{
	as_daemon timeout -k 1 10 ztcontroller serve --dir "$1" --listen "$LAB_NET4.2:$LAB_PORT"
}

# A copy of a good one, spoilt by COMMAND (with the copy as its folder): serve refuses it with these words and
# changes nothing in it.
spoilt()
{
	local what=$1 words=$2 copy before

	shift 2
	copy=$(dir copy)
	rm -rf "$copy"
	cp -a "$(dir good)" "$copy"
	(cd "$copy" && "$@")
	before=$(sums "$copy")
	check "$what" refused 1 "$words" serve_dir "$copy"
	check "$what: nothing was changed" test "$before" = "$(sums "$copy")"
}

sums()
{
	(cd "$1" && find . -type f ! -name '*.lock' ! -name '*-wal' ! -name '*-shm' -exec sha256sum {} + | sort)
}

half()
{
	truncate -s $(($(stat -c %s "$1") / 2)) "$1"
}

scribble()
{
	head -c 20480 < <(yes 'this is not a database') | dd of="$1" bs=4096 seek="$2" conv=notrunc status=none
}

break_chain()
{
	sqlite3 "$(dir c)/controller.db" "drop trigger record_is_final;
		update record set why = 'quite another reason' where seq = 2"
}

newer()
{
	sqlite3 controller.db 'pragma user_version = 999; pragma wal_checkpoint(truncate)' >/dev/null
}

something_else()
{
	rm -f controller.db*
	sqlite3 controller.db 'create table t(a); insert into t values (1);'
}

other_tls_key()
{
	openssl genpkey -algorithm ec -pkeyopt ec_paramgen_curve:P-256 -out tls.key 2>/dev/null
}

# One may still fit into what the database has.
many_tokens()
{
	local n

	for n in {1..40}; do
		token --user "full$n@store.example" >/dev/null || return
	done
	on ctl df "$(dir small)" >&2
}

waits_or_is_refused()
{
	local status=0

	token --user locked@store.example || status=$?
	[ "$status" -le 1 ]
}

serve_locked_out()
{
	local status=0

	chown root:root "$(dir good)"
	serve_dir "$(dir good)" || status=$?
	chown daemon:daemon "$(dir good)"
	return "$status"
}

serve_configured()
{
	printf '[controller]\nno-such-key = 1\n' >"$lab/bad.ini"
	as_daemon timeout 10 ztcontroller serve --dir "$(dir good)" --config "$lab/bad.ini" \
		--listen "$LAB_NET4.2:$LAB_PORT"
}

init_fails()
{
	local status=0

	as_daemon ztcontroller init --dir "$(dir refused)" "$@" || status=$?
	[ "$status" -eq 1 ] || [ "$status" -eq 2 ]
}

lab_start
controller_start
for n in 1 2 3; do must token --user "u$n@store.example"; done

note "while it runs"
check "a second one in the same folder is refused" refused 1 'in use|another' serve_dir "$(dir c)"
must cp -a "$(dir c)" "$(dir other)"
check "one in another folder on the same port too" refused 1 'port|address.*in use' serve_dir "$(dir other)"
check "an address that is not ours" \
	refused 1 'address' as_daemon ztcontroller serve --dir "$(dir other)" --listen 192.0.2.250:8443
check "a port that takes more rights" \
	refused 1 'permission|1024' as_daemon ztcontroller serve --dir "$(dir other)" --listen "$LAB_NET4.2:443"
check "the first one did not notice" ztctl status

note "the disk is full"
must stop controller
must mkdir "$(dir small)"
must on ctl sh -c "mount -t tmpfs -o size=3m small $(dir small) && cp -a $(dir c)/. $(dir small) && chown -R daemon:daemon $(dir small)"
must controller_serve "$(dir small)"
fill=$(dir small)/fill
on ctl dd if=/dev/zero of="$fill" bs=4k status=none 2>/dev/null || true
check "what cannot be kept is refused" refused 1 'full|space|disk' many_tokens
check "and the controller lives" ztctl status
on ctl rm -f "$fill"
check "with room it goes on by itself" await 10 token --user late@store.example
check "the log is unbroken" ztctl audit verify

note "locked by somebody else"
on ctl sqlite3 "$(dir small)/controller.db" 'begin exclusive; select 1;' '.shell sleep 6' >/dev/null 2>&1 &
locker=$!
check "a change waits or is refused, and says so" waits_or_is_refused
check "reading goes on" ztctl status
wait "$locker" || true
check "afterwards changes are possible again" await 10 token --user later@store.example
check "the log is unbroken" ztctl audit verify
must stop controller

note "before it starts"
rm -rf "$(dir other)"
mv "$(dir c)" "$(dir good)"
spoilt "no database" 'controller\.db' rm controller.db
spoilt "an empty one" 'controller\.db' truncate -s 0 controller.db
spoilt "half of one" 'controller\.db|database' half controller.db
spoilt "one with another beginning" 'controller\.db|database' scribble controller.db 0
spoilt "one with a hole in the middle" 'controller\.db|database' scribble controller.db 5
spoilt "one of a newer version" 'newer|schema|version' newer
spoilt "a database of something else" 'controller\.db' something_else
for key in network.key psk.key box.key; do
	spoilt "no $key" "$key" rm "$key"
	spoilt "half of $key" "$key" half "$key"
done
spoilt "no TLS key" 'tls\.key' rm tls.key
spoilt "half a TLS certificate" 'tls\.crt' half tls.crt
spoilt "a TLS key of another certificate" 'tls\.(key|crt)' other_tls_key
check "no such folder" refused 1 'no such|init' serve_dir "$(dir nowhere)"
check "a folder of somebody else" refused 1 'permission|denied|owner' serve_locked_out
check "a configuration with an unknown key is refused with its line" refused 1 ':2:|line 2' serve_configured
check "no --dir is wrong usage" ends_with 2 as_daemon ztcontroller serve
check "an unknown option too" ends_with 2 as_daemon ztcontroller serve --dir x --fast
for url in http://192.0.2.2:8443 https:// ftp://x https://192.0.2.2:99999 nonsense; do
	check "init refuses the URL $url" says 'URL|url|https|port' init_fails --url "$url"
done
for network in 100.64.0.0/33 10.0.0.0/31 nonsense 0.0.0.0/0 127.0.0.0/8 169.254.0.0/16 224.0.0.0/8; do
	check "init refuses the network $network" \
		says 'network' init_fails --url https://192.0.2.2:8443 --network "$network"
done
check "init refuses a network with IPv6 cloud metadata in it" \
	says 'metadata' init_fails --url https://192.0.2.2:8443 --network6 fd00:ec2::/32
check "nothing of what was refused is left" test ! -e "$(dir refused)"

note "the good one is as it was"
mv "$(dir good)" "$(dir c)"
must controller_serve
check "it starts" ztctl status
check "with all it had" is_json 'length == 3' ztctl token list
check "the log is unbroken" ztctl audit verify
must stop controller
must break_chain
must controller_serve || true
check "a record changed by hand is found by audit verify" says 'record|broken|hash' ends_with 1 ztctl audit verify
