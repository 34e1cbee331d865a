# shellcheck shell=bash disable=SC1091,SC2034,SC2154
# Tokens that are no good: each gets one clear line and exit code 1, and the machine stays as it was.
#
#      wan ------- ctl      two controllers after each other at one address
#       `--------- noor     the machine that tries
. "$(dirname "$0")/lib.sh"

# WORDS TOKEN: refused, and nothing is kept
refuses()
{
	local what=$1 words=$2

	shift 2
	check "$what" refused 1 "$words" node_enroll noor "$@"
}

# One letter of the secret's part is another one.
mistype()
{
	local t=$1 at=$((${#1} - 20)) letter

	letter=${t:at:1}
	if [ "$letter" = A ]; then letter=B; else letter=A; fi
	echo "${t:0:at}$letter${t:at+1}"
}

sums()
{
	(cd "$lab/noor/state" && find . -type f ! -name lock -exec sha256sum {} + | sort)
}

lab_start noor
controller_start
good=$(token --user noor@souk.example)

refuses "no token at all" 'token' ''
refuses "a word" 'token' hello
refuses "half a token" 'token|cut' "${good:0:60}"
refuses "a mistyped one" 'mistyped|typ' "$(mistype "$good")"
refuses "an admin's credential" 'admin|credential' "$(cat "$ZTCTL_ADMIN")"
refuses "a very long one" 'token|long' "zt1_$(printf 'A%.0s' {1..5000})"
check "no argument is wrong usage" ends_with 2 node noor enroll
check "an unknown option too" ends_with 2 node noor enroll --force "$good"
check "run says that there is no enrolment, and how to get one" refused 1 'enrol' node noor run
check "up asks the daemon, which is not there: exit code 3" refused 3 'run' node noor up

short=$(token --user noor@souk.example --expires 1s)
gone=$(token --user noor@souk.example --name gone)
must ztctl token revoke "$(ztctl token list --json | jq -r '.[] | select(.name == "gone") | .id')"
pause 1.2
refuses "an expired one" 'token' "$short"
refuses "a revoked one" 'token' "$gone"
check "nobody can tell them apart from a wrong one" test \
	"$(node_enroll noor "$short" 2>&1 || true)" = "$(node_enroll noor "$gone" 2>&1 || true)"
check "spaces around a good one are forgiven" node_enroll noor "  $good "
sums >"$lab/before"
check "enrolled twice: refused, with what to do" refused 1 'already|leave' node_enroll noor "$(token --user noor@souk.example)"
check "the first enrolment is unhurt" diff "$lab/before" <(sums)
must node noor leave || true
refuses "a used one" 'token' "$good"

note "another controller at the same address"
other=$(token --user noor@souk.example)
must stop controller
check "nobody there: exit code 3" refused 3 'reach|connect' node_enroll noor "$other"
must mv "$lab/ctl/var/c" "$lab/ctl/var/first"
controller_start
check "its key is not the one of the token: refused" refused 1 'key|controller' node_enroll noor "$other"
check "ztctl refuses it too: the credential is another controller's" \
	refused 1 'key|controller' env ZTCTL_ADMIN="$lab/ctl/var/first/admin.key" "$tool" on "$lab/ctl" ztctl status
check "with its own token all is well" node_enroll noor "$(token --user noor@souk.example)"
node_start noor
nodes_ready noor

note "a controller that does not know the device: its database is an old one"
must stop controller
must cp -a "$lab/ctl/var/c" "$lab/ctl/var/kept"
as_daemon sqlite3 "$lab/ctl/var/c/controller.db" .tables >"$lab/log"
cp "$lab/ctl/var/first/controller.db" "$lab/ctl/var/c/controller.db"
chown daemon:daemon "$lab/ctl/var/c/controller.db"
must controller_serve
check "the node says that it is unknown and what to do" await 20 says 'unknown|enrol|refused' node noor status
check "and runs on" is_running noor
must stop controller
cp "$lab/ctl/var/kept/controller.db" "$lab/ctl/var/c/controller.db"
must controller_serve
check "with the right database all is well again" await 30 is_connected noor
