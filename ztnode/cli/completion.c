/* Completion for bash, made of the tables, so it knows what the program knows. */
#include <string.h>

#include "zt/buf.h"
#include "ztnode/cli/cli.h"
#include "ztnode/cli/options.h"

static void put_commands(const struct command *commands, struct buf *out)
{
	for (size_t i = 0; commands[i].name; i++)
		buf_printf(out, "%s%s", i ? " " : "", commands[i].name);
}

static void put_flags(struct buf *out)
{
	for (size_t i = 0; options_flag(i); i++)
		buf_printf(out, "%s%s", i ? " " : "", options_flag(i));
}

void completion_print(const struct command *commands, struct buf *out)
{
	buf_put_text(out,
		     "# bash completion of ztnode; to use it: source <(ztnode completion bash)\n"
		     "_ztnode() {\n"
		     "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} w\n"
		     "\tlocal commands='");
	put_commands(commands, out);
	buf_put_text(out, "'\n\tlocal flags='");
	put_flags(out);
	buf_put_text(
		out,
		"'\n"
		"\tcase $prev in\n"
		"\t--state|--run|--posture-dir) COMPREPLY=($(compgen -d -- \"$cur\")); return;;\n"
		"\t--config) COMPREPLY=($(compgen -f -- \"$cur\")); return;;\n"
		"\t--log) COMPREPLY=($(compgen -W 'error warn info debug' -- \"$cur\")); return;;\n"
		"\tcompletion) COMPREPLY=($(compgen -W bash -- \"$cur\")); return;;\n"
		"\tesac\n"
		"\tif [[ $cur == -* ]]; then\n"
		"\t\tCOMPREPLY=($(compgen -W \"$flags\" -- \"$cur\")); return\n"
		"\tfi\n"
		"\tfor w in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
		"\t\t[[ \" $commands \" == *\" $w \"* ]] && return\n"
		"\tdone\n"
		"\tCOMPREPLY=($(compgen -W \"$commands\" -- \"$cur\"))\n"
		"}\n"
		"complete -o default -F _ztnode ztnode\n");
}
