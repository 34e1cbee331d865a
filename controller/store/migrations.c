/* The migrations, built into the program (paths are relative to the project's root, where make
 * runs). */
#include "controller/store/db.h"

/* clang-format off */
#define MIGRATION(number)                                                          \
	__asm__(".pushsection .rodata.migrations, \"a\"\n"                         \
		"migration_" #number ":\n"                                         \
		".incbin \"controller/store/migrations/" #number ".sql\"\n"        \
		".byte 0\n"                                                        \
		".popsection\n");                                                  \
	extern const char migration_##number[] __attribute__((visibility("hidden")))
/* clang-format on */

MIGRATION(0001);
MIGRATION(0002);

const struct migration store_migrations[] = {
	{1, migration_0001},
	{2, migration_0002},
};
const size_t store_n_migrations = sizeof(store_migrations) / sizeof(store_migrations[0]);
