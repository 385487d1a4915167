/*
 * document_main.c: prints a document of waftctl; run by the build.
 *
 *     waftctl_document man|bash|zsh|fish FILE
 */
#include "command.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*make)(struct strbuf *text);
	} documents[] = {
		{"man", document_man},
		{"bash", document_bash},
		{"zsh", document_zsh},
		{"fish", document_fish},
	};
	struct strbuf text = {0};
	FILE *file;
	int code = 1;

	for (size_t i = 0; argc == 3 && i < sizeof documents / sizeof documents[0]; i++) {
		if (strcmp(argv[1], documents[i].name) == 0)
			documents[i].make(&text);
	}
	if (text.length == 0 || text.failed) {
		(void)fputs("usage: waftctl_document man|bash|zsh|fish FILE\n", stderr);
		strbuf_done(&text);
		return 2;
	}
	file = fopen(argv[2], "we");
	if (file == NULL) {
		perror(argv[2]);
	} else {
		size_t written = fwrite(text.bytes, 1, text.length, file);

		code = fclose(file) == 0 && written == text.length ? 0 : 1;
		if (code != 0)
			perror(argv[2]);
	}
	strbuf_done(&text);
	return code;
}
