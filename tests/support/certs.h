/* certs.h: certificates made on the spot, for tests of TLS. */
#ifndef WAFT_TESTS_CERTS_H
#define WAFT_TESTS_CERTS_H

struct authority;

/* A certificate authority whose certificate is written to `file`. */
struct authority *authority_new(const char *file);
void authority_free(struct authority *authority);

/* Issues a certificate and key into two files. dns or ip may be NULL; days: how
 * long it is valid from now, negative: it expired. */
void authority_issue(struct authority *authority, const char *name, const char *dns, const char *ip,
	int days, const char *cert_file, const char *key_file);

#endif
