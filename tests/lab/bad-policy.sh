# shellcheck shell=bash disable=SC1091,SC2034,SC2154
# Policies with mistakes: each is refused whole with file:line:column, and the one in force stays.
#
#      wan ------- ctl
. "$(dirname "$0")/lib.sh"

good()
{
	cat <<-'END'
	[network]
	lease = 1h
	[group finance]
	members = user:ada@corp.test
	[resource ledger]
	on    = tag:ledger
	ports = tcp/5432
	[posture managed]
	require = disk.encrypted == true
	[rule finance-to-ledger]
	who  = group:finance
	what = resource:ledger
	how  = posture:managed
	why  = Finance keeps the books
	[test outsiders]
	from   = user:sam@corp.test
	to     = ledger tcp/5432
	expect = deny
	END
}

# The good one, changed by a sed script: refused at LINE with WORDS, by check and by put.
mistake()
{
	local what=$1 line=$2 words=$3 change=$4

	good | sed "$change" >"$lab/bad.ini"
	check "$what" refused_at "$line" "$words" policy check "$lab/bad.ini"
}

refused_at()
{
	local line=$1 words=$2

	shift 2
	ends_with 1 ztctl "$@" || return 1
	grep -qE "bad\.ini:$line(:[0-9]+)?: .*($words)" "$lab/stderr" ||
		{ echo "nothing like: bad.ini:$line:COLUMN: ... $words"; return 1; }
}

two_mistakes()
{
	good | sed 's/group:finance/group:finanse/; s/5432$/70000/' >"$lab/bad.ini"
	refused_at 7 '' policy check "$lab/bad.ini" && refused_at 11 '' policy check "$lab/bad.ini"
}

lab_start
controller_start
good >"$lab/good.ini"
check "the good one passes" ztctl policy check "$lab/good.ini"
check "and is put" ztctl policy put "$lab/good.ini" --why "the good one"

mistake "an unknown section" 3 'section|grup' 's/\[group finance\]/[grup finance]/'
mistake "an unknown key" 6 'key|onn' 's/^on    =/onn   =/'
mistake "a key twice" 7 'twice|already|double' '/^ports/s/^/on = tag:other\n/'
mistake "a section twice" 5 'twice|already|double' '/^\[resource/s/^/[group finance]\nmembers = user:x@y.test\n/'
mistake "a group that does not exist" 11 'group' 's/group:finance/group:finanse/'
mistake "a resource that does not exist" 12 'resource' 's/resource:ledger/resource:leger/'
mistake "a posture that does not exist" 13 'posture' 's/posture:managed/posture:manged/'
mistake "a fact that does not exist" 9 'fact|disk' 's/disk.encrypted/disk.encripted/'
mistake "a comparison without sense" 9 'true|<|compar' 's/== true/< true/'
mistake "a port that is none" 7 'port|70000' 's/5432$/70000/'
mistake "a protocol that is none" 7 'protocol|xtp|tcp' 's/tcp\/5432$/xtp\/5432/'
mistake "a port range backwards" 7 'range|order|port' 's/tcp\/5432$/tcp\/9-5/'
mistake "a lease out of range" 2 'lease|1s|least' 's/1h/1s/'
mistake "an e-mail that is none" 4 'mail|user' 's/ada@corp.test/ada/'
mistake "a rule without a reason" 10 'why' '/^why/d'
mistake "an empty reason" 14 'why|reason|empty' 's/^why.*/why =/'
mistake "a rule without who" 10 'who' '/^who/d'
mistake "a time that is none" 14 'when|time|hour' 's/^why/when = Mon-Fri 07:00-27:00\nwhy/'
mistake "a condition of a later version: mfa" 13 'mfa|support|version' 's/posture:managed/posture:managed, mfa/'
mistake "a test of its own that fails" 15 'outsiders|test|allow|deny' 's/^expect.*/expect = allow/'
mistake "an invariant that a rule breaks" 19 'nobody.*finance-to-ledger.*ada@corp.test' \
	's/^expect.*/&\n[invariant nobody]\nfrom = user:ada@corp.test\nto = resource:*\nexpect = never\nwhy = x/'
mistake "a line that is none" 3 '' '3s/^/nonsense\n/'
mistake "a name that is none" 3 'name' 's/\[group finance\]/[group fin ance;]/'
mistake "a byte that is no text" 14 '' 's/books/bo\xffoks/'

good | sed 's/group:finance/group:finanse/' >"$lab/bad.ini"
check "put refuses it too" refused_at 11 'group' policy put "$lab/bad.ini" --why "a mistake"
: >"$lab/empty.ini"
check "a policy without a reason for it is wrong usage" ends_with 2 ztctl policy put "$lab/good.ini"
check "a file that is not there" refused 1 'nowhere' ztctl policy put "$lab/nowhere.ini" --why x
check "two mistakes are told at once" two_mistakes
head -c 53000000 /dev/zero | tr '\0' '#' >"$lab/large.ini"
check "a file over the limit" refused 1 'large|big|limit|bytes' ztctl policy put "$lab/large.ini" --why x
check "the one in force is the good one" diff "$lab/good.ini" <(ztctl policy get)
check "there is no version of what was refused" is_json '[.[] | select(.why == "a mistake" or .why == "x")] == []' ztctl policy log
check "an empty policy is one that denies everything" ztctl policy put "$lab/empty.ini" --why "close all"
version=$(ztctl policy log --json | jq '[.[] | select(.why == "the good one")][0].version')
check "an old version can be restored" ztctl policy restore "$version" --why "back again"
check "and is in force" diff "$lab/good.ini" <(ztctl policy get)
check "one that never was cannot" refused 1 'version|4711' ztctl policy restore 4711 --why "no such"
check "the log is unbroken" ztctl audit verify
