/*
 * write_certs DIR: writes what a test of TLS needs into a directory, each as
 * NAME.pem and NAME.key: two authorities (ca, other-ca: .pem only), a server (names
 * localhost and 127.0.0.1), one for another host, an expired one, a newer server of the
 * same authority (next), clients (agent-7, agent-8), an expired and a foreign one.
 */
#include "certs.h"

#include <stdio.h>

static const char *directory;

static void issue(struct authority *authority, const char *file, const char *name, const char *dns,
	const char *ip, int days)
{
	char cert[4096];
	char key[4096];

	snprintf(cert, sizeof(cert), "%s/%s.pem", directory, file);
	snprintf(key, sizeof(key), "%s/%s.key", directory, file);
	authority_issue(authority, name, dns, ip, days, cert, key);
}

static struct authority *authority(const char *file)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s.pem", directory, file);
	return authority_new(path);
}

int main(int argc, char **argv)
{
	struct authority *ca;
	struct authority *other;

	if (argc != 2) {
		fputs("usage: write_certs DIR\n", stderr);
		return 2;
	}
	directory = argv[1];
	ca = authority("ca");
	other = authority("other-ca");
	issue(ca, "server", "collector", "localhost", "127.0.0.1", 5);
	issue(ca, "next", "collector", "localhost", "127.0.0.1", 9);
	issue(ca, "elsewhere", "elsewhere", "elsewhere.test", NULL, 5);
	issue(ca, "expired-server", "collector", "localhost", "127.0.0.1", -1);
	issue(ca, "agent-7", "agent-7", NULL, NULL, 5);
	issue(ca, "agent-8", "agent-8", NULL, NULL, 5);
	issue(ca, "expired", "agent-7", NULL, NULL, -1);
	issue(other, "foreign", "agent-7", NULL, NULL, 5);
	authority_free(ca);
	authority_free(other);
	return 0;
}
