/* certs.c: see certs.h. Failures end the test by abort(). */
#include "certs.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

struct authority {
	EVP_PKEY *key;
	X509 *certificate;
	long serial;
};

static void *must(void *pointer)
{
	if (!pointer)
		abort();
	return pointer;
}

static void write_certificate(const char *file, X509 *certificate)
{
	FILE *out = must(fopen(file, "w"));
	if (PEM_write_X509(out, certificate) != 1 || fclose(out) != 0)
		abort();
}

static void add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX context;
	X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
	X509_EXTENSION *extension = must(X509V3_EXT_conf_nid(NULL, &context, nid, value));
	X509_add_ext(certificate, extension, -1);
	X509_EXTENSION_free(extension);
}

static X509 *certificate_new(const char *name, long serial, int days, EVP_PKEY *key)
{
	X509 *certificate = must(X509_new());
	X509_set_version(certificate, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -10 * 86400L);
	X509_gmtime_adj(X509_getm_notAfter(certificate), days * 86400L);
	X509_set_pubkey(certificate, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
		(const unsigned char *)name, -1, -1, 0);
	return certificate;
}

struct authority *authority_new(const char *file)
{
	struct authority *authority = must(calloc(1, sizeof(*authority)));
	authority->key = must(EVP_EC_gen("P-256"));
	authority->serial = 1;
	authority->certificate = certificate_new("Test Authority", 1, 30, authority->key);
	X509_set_issuer_name(authority->certificate, X509_get_subject_name(authority->certificate));
	add_extension(authority->certificate, authority->certificate, NID_basic_constraints,
		"critical,CA:TRUE");
	if (!X509_sign(authority->certificate, authority->key, EVP_sha256()))
		abort();
	write_certificate(file, authority->certificate);
	return authority;
}

void authority_free(struct authority *authority)
{
	EVP_PKEY_free(authority->key);
	X509_free(authority->certificate);
	free(authority);
}

void authority_issue(struct authority *authority, const char *name, const char *dns, const char *ip,
	int days, const char *cert_file, const char *key_file)
{
	char names[256];
	EVP_PKEY *key = must(EVP_EC_gen("P-256"));
	X509 *certificate = certificate_new(name, ++authority->serial, days, key);
	X509_set_issuer_name(certificate, X509_get_subject_name(authority->certificate));
	snprintf(names, sizeof(names), "%s%s%s%s%s", dns ? "DNS:" : "", dns ? dns : "",
		dns && ip ? "," : "", ip ? "IP:" : "", ip ? ip : "");
	if (names[0])
		add_extension(certificate, authority->certificate, NID_subject_alt_name, names);
	if (!X509_sign(certificate, authority->key, EVP_sha256()))
		abort();
	write_certificate(cert_file, certificate);
	FILE *out = must(fopen(key_file, "w"));
	if (PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) != 1 || fclose(out) != 0)
		abort();
	X509_free(certificate);
	EVP_PKEY_free(key);
}
