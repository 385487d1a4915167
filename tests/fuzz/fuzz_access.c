/*
 * The file of rules: any text is taken or refused with a reason, and whoever is asked
 * for afterwards has no right that the text doesn't name.
 */
#include "access.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct access *access;
	char why[ACCESS_WHY_BYTES] = "";
	char name[ACCESS_NAME_BYTES];
	char *text = malloc(size + 1);
	gid_t group = 4;

	must(text != NULL);
	memcpy(text, data, size);
	text[size] = '\0';
	if (access_new("fuzz", text, size, &access, why) < 0) {
		must(why[0] != '\0');
	} else {
		unsigned int rights = access_of_cert(access, "agent-7") |
				      access_of_token(access, text, size, name) |
				      access_of_token(access, "", 0, name);

		must((rights & ~(unsigned int)ACCESS_ALL) == 0);
		must(rights == 0 || memmem(data, size, "send", 4) ||
			memmem(data, size, "query", 5) || memmem(data, size, "admin", 5));
		must(access_of_socket(access, 0, &group, 1) == ACCESS_ALL);
		(void)access_of_socket(access, 54321, &group, 1);
		(void)access_of_cert(access, text);
		access_free(access);
	}
	free(text);
	return 0;
}
