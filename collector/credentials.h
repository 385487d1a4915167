/*
 * The files that say whom to trust: rules (access.h) and certificates (tls.h), read
 * as one, at start and reload. Loop thread.
 */
#ifndef WAFT_COLLECTOR_CREDENTIALS_H
#define WAFT_COLLECTOR_CREDENTIALS_H

#include "access.h"
#include "errors.h"
#include "settings.h"
#include "tls.h"

#include <stdbool.h>

enum { CREDENTIALS_HASH_BYTES = 65 };

struct credentials {
	struct access *access;	 /* NULL: no rules */
	struct tls_context *tls; /* NULL: no tls:// endpoint */
	/* Of what was read, to see whether it is other. */
	char rules_hash[CREDENTIALS_HASH_BYTES];
	char tls_hash[CREDENTIALS_HASH_BYTES];
};

/* Why a call failed, for people. */
struct credentials_error {
	char text[640];
};

/* Reads what the settings name. Certificates are needed, and read, when `listen` has a
 * tls:// endpoint. 0; -EINVAL, another negative errno; on success *ret needs
 * credentials_done. */
int credentials_load(const struct settings *settings, struct credentials *ret,
	struct credentials_error *ret_error) MUST_CHECK;

/* A zeroed one too. */
void credentials_done(struct credentials *credentials);

/* Whether the files were the same, byte for byte. */
bool credentials_same_rules(const struct credentials *a, const struct credentials *b);
bool credentials_same_tls(const struct credentials *a, const struct credentials *b);

/* What a tls:// endpoint needs that the settings lack, as a sentence; NULL: nothing. */
const char *credentials_problem(const struct settings *settings);

#endif
