/* scripts/lint --self-test: what clang-tidy must refuse, a check a function. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct node {
	struct node *next;
};

/* expect: clang-analyzer-unix.Malloc */
int bad_leak(void)
{
	char *text = malloc(4);

	return text == NULL;
}

/* expect: clang-analyzer-core.NullDereference */
int bad_null(int *value)
{
	if (value == NULL)
		return *value;
	return 0;
}

/* expect: bugprone-suspicious-memset-usage */
void bad_memset(int *values)
{
	memset(values, '0', 4 * sizeof(*values));
}

/* expect: bugprone-suspicious-string-compare */
int bad_compare(const char *a, const char *b)
{
	if (strcmp(a, b))
		return 1;
	return strcmp(a, b) == 1;
}

/* expect: misc-no-recursion */
int bad_recursion(struct node *node)
{
	return node == NULL ? 0 : 1 + bad_recursion(node->next);
}

/* expect: clang-diagnostic-format-security */
void bad_format(const char *text)
{
	printf(text);
}

/* expect: cert-err34-c */
int bad_number(const char *text)
{
	return atoi(text);
}
