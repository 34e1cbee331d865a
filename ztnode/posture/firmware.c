/* What the firmware says: secure boot (UEFI variables through efivarfs) and the TPM. */
#include <errno.h>

#include "ztnode/posture/collect.h"
#include "ztnode/posture/fact.h"
#include "zt/txt.h"

#define EFIVARS "sys/firmware/efi/efivars/"

/* A variable's file: four bytes of attributes (UEFI 2.10 section 8.2), then its data. */
enum { EFI_DATA_AT = 4, EFI_SIZE = 5, EFI_NON_VOLATILE = 1 };

static const char secureboot_path[] = EFIVARS "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
/* Set by shim, volatile, when its user switched checking off: the kernel then counts secure boot as
 * off too (drivers/firmware/efi/libstub/secureboot.c). A non-volatile one can be anybody's, and
 * does not count. */
static const char shim_path[] = EFIVARS "MokSBStateRT-605dab50-e046-4300-abb6-3dd810dd8b23";

/* 1 or 0 as the one-byte variable says; -errno. */
static int read_flag(const struct source *s, const char *path, uint8_t *ret_attributes)
{
	char data[64];
	size_t n = 0;
	int r = source_read(s, path, data, sizeof(data), &n);

	if (r < 0)
		return r;
	if (n != EFI_SIZE)
		return -ZT_EFORM;
	*ret_attributes = (uint8_t)data[0];
	return data[EFI_DATA_AT] == 1;
}

static int is_shim_off(const struct source *s)
{
	uint8_t attributes = 0;
	int r = read_flag(s, shim_path, &attributes);

	if (r == -ENOENT)
		return 0;
	return r == 1 && (attributes & EFI_NON_VOLATILE) ? 0 : r;
}

static int is_secure_boot(const struct source *s)
{
	uint8_t attributes = 0;
	int on, off;

	on = read_flag(s, secureboot_path, &attributes);
	if (on != 1)
		return on;
	off = is_shim_off(s);
	return off < 0 ? off : !off;
}

/* Without UEFI there is no secure boot. That is only known where sysfs shows the firmware at all.
 */
void collect_secureboot_enabled(struct source *s, const char *argument, struct fact *ret)
{
	int sysfs = source_exists(s, "sys/firmware");
	int efi = source_exists(s, "sys/firmware/efi");

	(void)argument;
	if (sysfs == 0)
		fact_set_unknown(ret, "no firmware directory");
	else if (efi == 1)
		fact_set_answer(ret, "secure boot variable", is_secure_boot(s));
	else
		fact_set_answer(ret, "firmware directory", efi);
}

/* A TPM 1.2 counts as none: what it can do is broken by now. */
static int is_tpm2(const struct source *s)
{
	char version[8];
	int r = source_read_line(s, "sys/class/tpm/tpm0/tpm_version_major", version,
				 sizeof(version));

	return r < 0 ? r : txt_equal(version, "2");
}

void collect_tpm_present(struct source *s, const char *argument, struct fact *ret)
{
	int any = source_exists(s, "sys/class/tpm/tpm0");

	(void)argument;
	if (source_exists(s, "sys/class/tpm") == 0)
		fact_set_unknown(ret, "no TPM directory");
	else if (any == 1)
		fact_set_answer(ret, "version of the TPM", is_tpm2(s));
	else
		fact_set_answer(ret, "TPM directory", any);
}
