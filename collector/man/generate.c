/* Prints waft-collectord.conf(5) from the table of settings. Runs while building. */
#include "settings_table.h"

#include <stdio.h>

static const char head[] =
	".TH WAFT\\-COLLECTORD.CONF 5 \"\" \"waft " WAFT_VERSION_TEXT "\" \"Waft\"\n"
	".SH NAME\n"
	"waft\\-collectord.conf \\- configuration of waft\\-collectord\n"
	".SH DESCRIPTION\n"
	"Lines of\n"
	".IR \"name = value\" ;\n"
	"comments begin with # or ; at the start of a line.\n"
	"There is no section but\n"
	".BR [collector] ,\n"
	"which may be left out.\n"
	"Files of\n"
	".I conf.d/*.conf\n"
	"beside the file are read after it, in the order of their names.\n"
	"A setting may stand once in a file.\n"
	".PP\n"
	"A SIZE is a number of bytes with K, M, G or T behind it (powers of 1024); a TIME has ms,\n"
	"s (also without), min, h or d.\n"
	"SIGHUP reads the files again; settings that are marked need a restart.\n"
	".SH SETTINGS\n";

static const char tail[] = ".SH EXAMPLE\n"
			   ".nf\n"
			   "store = /var/lib/waft/traces\n"
			   "socket = /run/waft/collector.sock\n"
			   "socket\\-mode = 0666\n"
			   "store\\-mode = 0640\n"
			   "query\\-group = waft\n"
			   "retention\\-age = 30d\n"
			   "http = 127.0.0.1:8421\n"
			   ".fi\n"
			   ".SH SEE ALSO\n"
			   ".BR waft\\-collectord (8)\n";

/* A name as troff wants it. */
static void print_name(const char *name)
{
	for (; *name != '\0'; name++) {
		if (*name == '-')
			putchar('\\');
		putchar(*name);
	}
}

/* A sentence of a help text. */
static void print_sentence(const char *text)
{
	putchar(text[0] >= 'a' && text[0] <= 'z' ? text[0] - 'a' + 'A' : text[0]);
	printf("%s.\n", text + 1);
}

int main(void)
{
	fputs(head, stdout);
	for (size_t i = 0; i < settings_table_length; i++) {
		const struct setting *setting = &settings_table[i];

		fputs(".TP\n.BI ", stdout);
		print_name(setting->name);
		printf(" \" = %s\"\n", setting->argument);
		print_sentence(setting->help);
		if (setting->initial != NULL)
			printf("Default: %s.\n", setting->initial);
		if (!setting->live)
			puts("A change needs a restart.");
	}
	fputs(tail, stdout);
	return fflush(stdout) == 0 ? 0 : 1;
}
