/* The configuration file: any text is taken or refused with a reason. */
#include "settings.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct settings settings;
	struct settings_error error = {""};
	char *text = malloc(size + 1);

	if (text == NULL || settings_init(&settings) < 0)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	if (settings_read_text(&settings, "fuzz", text, &error) < 0 && error.text[0] == '\0')
		abort();
	settings_done(&settings);
	free(text);
	return 0;
}
