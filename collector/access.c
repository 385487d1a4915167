/* access.c: see access.h. */
#include "access.h"

#include "ids.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HASH_BYTES = 32, RULES_LIMIT = 65536 };

enum rule_kind { RULE_UID, RULE_GID, RULE_CERT, RULE_TOKEN };

struct rule {
	enum rule_kind kind;
	unsigned int rights;
	uint32_t id;		      /* uid or gid */
	char name[ACCESS_NAME_BYTES]; /* certificate's pattern, token's name */
	unsigned char hash[HASH_BYTES];
};

struct access {
	struct rule *rules;
	size_t count;
};

/* ---- Reading ------------------------------------------------------------ */

static int hash_token(const char *token, size_t length, unsigned char ret_hash[HASH_BYTES])
{
	unsigned int size;
	return EVP_Digest(token, length, ret_hash, &size, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;
}

int access_hash(const char *token, size_t length_bytes, char ret_hex[65])
{
	unsigned char hash[HASH_BYTES];
	int error = hash_token(token, length_bytes, hash);
	for (int i = 0; !error && i < HASH_BYTES; i++)
		sprintf(ret_hex + 2 * i, "%02x", hash[i]);
	return error;
}

static bool parse_hash(const char *hex, unsigned char ret_hash[HASH_BYTES])
{
	return strlen(hex) == 2 * HASH_BYTES && hex_parse(hex, HASH_BYTES, ret_hash) == 0;
}

static bool parse_id(const char *text, uint32_t *ret_id)
{
	char *end;
	errno = 0;
	unsigned long value = strtoul(text, &end, 10);
	if (!isdigit((unsigned char)*text) || *end || errno || value >= UINT32_MAX)
		return false;
	*ret_id = (uint32_t)value;
	return true;
}

static const char *parse_rights(char *text, unsigned int *ret_rights)
{
	char *save = NULL;
	unsigned int rights = 0;
	for (char *word = strtok_r(text, " \t", &save); word; word = strtok_r(NULL, " \t", &save)) {
		if (strcmp(word, "send") == 0)
			rights |= ACCESS_SEND;
		else if (strcmp(word, "query") == 0)
			rights |= ACCESS_QUERY;
		else if (strcmp(word, "admin") == 0)
			rights |= ACCESS_ADMIN;
		else if (strcmp(word, "forward") == 0)
			rights |= ACCESS_FORWARD;
		else
			return "a right is send, forward, query or admin";
	}
	*ret_rights = rights;
	return rights ? NULL : "no rights: give at least one of send, forward, query, admin";
}

static const char *parse_who(struct rule *rule, const char *kind, const char *who)
{
	if (strlen(who) >= ACCESS_NAME_BYTES + 2 * HASH_BYTES)
		return "the name is too long";
	if (strcmp(kind, "uid") == 0) {
		const struct passwd *user = getpwnam(who);
		rule->kind = RULE_UID;
		rule->id = user ? user->pw_uid : 0;
		return user || parse_id(who, &rule->id) ? NULL : "no such user";
	}
	if (strcmp(kind, "gid") == 0) {
		const struct group *group = getgrnam(who);
		rule->kind = RULE_GID;
		rule->id = group ? group->gr_gid : 0;
		return group || parse_id(who, &rule->id) ? NULL : "no such group";
	}
	if (strcmp(kind, "cert") == 0) {
		rule->kind = RULE_CERT;
		if (strlen(who) >= ACCESS_NAME_BYTES)
			return "the name is too long";
		strcpy(rule->name, who);
		return strchr(who + 1, '*') ? "* may only be the first character" : NULL;
	}
	if (strcmp(kind, "token") == 0) {
		const char *colon = strrchr(who, ':');
		rule->kind = RULE_TOKEN;
		if (!colon || colon == who || !parse_hash(colon + 1, rule->hash))
			return "a token is NAME:HASH, the hash the token's SHA-256 in 64 hex "
			       "digits";
		if (colon - who >= ACCESS_NAME_BYTES)
			return "the name is too long";
		memcpy(rule->name, who, (size_t)(colon - who));
		return NULL;
	}
	return "a rule begins with uid, gid, cert or token";
}

/* One line, which is changed; NULL or what is wrong with it. An empty one leaves
 * rule->rights at 0. */
static const char *parse_line(char *line, struct rule *rule)
{
	char *save = NULL;
	char *kind = strtok_r(line, " \t\r", &save);
	memset(rule, 0, sizeof(*rule));
	if (!kind || kind[0] == '#')
		return NULL;
	char *who = strtok_r(NULL, " \t", &save);
	if (!who)
		return "a rule is: kind, who, rights";
	const char *wrong = parse_who(rule, kind, who);
	size_t length = strlen(save);
	while (length > 0 && isspace((unsigned char)save[length - 1]))
		save[--length] = 0;
	return wrong ? wrong : parse_rights(save, &rule->rights);
}

static int add_rule(struct access *access, const struct rule *rule)
{
	if ((access->count & (access->count - 1)) == 0) { /* full: a power of two, or none */
		size_t capacity = access->count ? 2 * access->count : 1;
		struct rule *grown = realloc(access->rules, capacity * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		access->rules = grown;
	}
	access->rules[access->count++] = *rule;
	return 0;
}

int access_new(const char *name, const char *text, size_t length_bytes, struct access **ret,
	char ret_why[ACCESS_WHY_BYTES])
{
	struct access *access = calloc(1, sizeof(*access));
	char *copy = strndup(text, length_bytes), *next = copy;
	int error = access && copy ? 0 : -ENOMEM;
	ret_why[0] = 0;
	if (!error && strlen(copy) != length_bytes) {
		snprintf(ret_why, ACCESS_WHY_BYTES, "%s: holds a NUL byte", name);
		error = -EINVAL;
	}
	for (unsigned int number = 1; !error && next; number++) {
		struct rule rule;
		char *line = strsep(&next, "\n");
		const char *wrong = parse_line(line, &rule);
		if (!wrong && access->count == RULES_LIMIT)
			wrong = "too many rules";
		if (wrong) {
			snprintf(ret_why, ACCESS_WHY_BYTES, "%s:%u: %s", name, number, wrong);
			error = -EINVAL;
		} else if (rule.rights) {
			error = add_rule(access, &rule);
		}
	}
	free(copy);
	if (error) {
		access_free(access);
		return error;
	}
	*ret = access;
	return 0;
}

void access_free(struct access *access)
{
	if (!access)
		return;
	free(access->rules);
	free(access);
}

/* ---- Asking ------------------------------------------------------------- */

unsigned int access_of_socket(
	const struct access *access, uid_t uid, const gid_t *groups, size_t group_count)
{
	unsigned int rights = uid == 0 || uid == geteuid() ? ACCESS_ALL : 0;
	bool ruled = false;
	for (size_t i = 0; access && i < access->count; i++) {
		const struct rule *rule = &access->rules[i];
		ruled |= rule->kind == RULE_UID || rule->kind == RULE_GID;
		if (rule->kind == RULE_UID && rule->id == uid)
			rights |= rule->rights;
		for (size_t g = 0; rule->kind == RULE_GID && g < group_count; g++) {
			if (rule->id == groups[g])
				rights |= rule->rights;
		}
	}
	return ruled ? rights : rights | ACCESS_SEND;
}

static bool cert_matches(const char *pattern, const char *name)
{
	if (pattern[0] != '*')
		return strcasecmp(pattern, name) == 0;
	size_t tail = strlen(pattern + 1), length = strlen(name);
	return length > tail && strcasecmp(name + length - tail, pattern + 1) == 0;
}

unsigned int access_of_cert(const struct access *access, const char *name)
{
	unsigned int rights = 0;
	for (size_t i = 0; access && i < access->count; i++) {
		const struct rule *rule = &access->rules[i];
		if (rule->kind == RULE_CERT && cert_matches(rule->name, name))
			rights |= rule->rights;
	}
	return rights;
}

unsigned int access_of_token(const struct access *access, const char *token, size_t length_bytes,
	char ret_name[ACCESS_NAME_BYTES])
{
	unsigned char hash[HASH_BYTES];
	unsigned int rights = 0;
	ret_name[0] = 0;
	if (length_bytes == 0 || length_bytes > ACCESS_TOKEN_LIMIT ||
		hash_token(token, length_bytes, hash))
		return 0;
	for (size_t i = 0; access && i < access->count; i++) {
		const struct rule *rule = &access->rules[i];
		if (rule->kind != RULE_TOKEN || CRYPTO_memcmp(rule->hash, hash, HASH_BYTES) != 0)
			continue;
		rights |= rule->rights;
		strcpy(ret_name, rule->name);
	}
	return rights;
}
