/*
 * The table behind settings.h, for the files that read values into it or
 * print it: settings.c, settings_load.c and their tests.
 */
#ifndef WAFT_COLLECTOR_SETTINGS_TABLE_H
#define WAFT_COLLECTOR_SETTINGS_TABLE_H

#include "settings.h"

enum setting_kind {
	SETTING_TEXT,	/* char *, NULL by default */
	SETTING_LIST,	/* the same; given again, it adds to what was given before there */
	SETTING_NUMBER, /* the others are uint64_t */
	SETTING_SIZE,	/* bytes: 64K, 128M, 1G */
	SETTING_TIME,	/* milliseconds: 500ms, 10s, 5min, 2h, 7d */
	SETTING_MODE,	/* octal */
	SETTING_BOOL,
	SETTING_LEVEL,
	SETTING_CHOICE, /* the place of a word in `argument`, "a|b|c", from 0 on */
};

struct setting {
	const char *name;
	enum setting_kind kind;
	size_t offset;	      /* in struct settings */
	const char *argument; /* what its value is called */
	const char *initial;  /* default, as text; NULL: none */
	uint64_t least;
	uint64_t most; /* of a text: its length in bytes */
	int live;      /* taken over by SIGHUP; others need a restart */
	const char *help;
};

extern const struct setting settings_table[];
extern const size_t settings_table_length;

/* The entry of that name, or NULL. */
const struct setting *settings_find(const char *name);

/* Where an entry's value lies. */
uint64_t *settings_number_at(struct settings *settings, const struct setting *setting);
char **settings_text_at(struct settings *settings, const struct setting *setting);

#endif
