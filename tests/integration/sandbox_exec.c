/*
 * Runs a program as a systemd unit's sandbox would, without systemd.
 *
 *     sandbox_exec SYSCALLS SOCKET PROGRAM ARGUMENT...
 *
 * SYSCALLS is a file of the names of the system calls allowed, one a line; any
 * other kills the program (SIGSYS), which shows where the real sandbox would
 * only say EPERM. Sockets are limited to AF_UNIX and AF_INET(6), memory that
 * is both writable and executable and new namespaces are refused, as
 * RestrictAddressFamilies, MemoryDenyWriteExecute and RestrictNamespaces do
 * (systemd.exec(5)). SOCKET, unless "-", is listened on and passed as file
 * descriptor 3 by sd_listen_fds(3)'s rules. Used by sandbox.py.
 */
#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { LISTEN_FD = 3, BACKLOG = 128 };

static void die(const char *what)
{
	fprintf(stderr, "sandbox_exec: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static void pass_socket(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char pid[32];
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		die(path);
	}
	memcpy(address.sun_path, path, strlen(path));
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
		listen(fd, BACKLOG) != 0)
		die(path);
	if (fd != LISTEN_FD && (dup2(fd, LISTEN_FD) != LISTEN_FD || close(fd) != 0))
		die("dup2");
	snprintf(pid, sizeof(pid), "%ld", (long)getpid());
	if (setenv("LISTEN_PID", pid, 1) != 0 || setenv("LISTEN_FDS", "1", 1) != 0)
		die("setenv");
}

static void rule(
	scmp_filter_ctx filter, int number, unsigned int count, struct scmp_arg_cmp compare)
{
	int ret = seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, count, compare);

	if (ret != 0) {
		errno = -ret;
		die("seccomp_rule_add");
	}
}

/* Adds one name of the list, with the limits that the unit puts on it. */
static void allow(scmp_filter_ctx filter, const char *name)
{
	const scmp_datum_t namespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS |
					CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
	const struct scmp_arg_cmp any = {0};
	int number = seccomp_syscall_resolve_name(name);

	/* The list has names of other architectures too. */
	if (number < 0 || strcmp(name, "unshare") == 0 || strcmp(name, "setns") == 0)
		return;
	if (strcmp(name, "socket") == 0 || strcmp(name, "socketpair") == 0) {
		rule(filter, number, 1, SCMP_A0_64(SCMP_CMP_EQ, AF_UNIX));
		rule(filter, number, 1, SCMP_A0_64(SCMP_CMP_EQ, AF_INET));
		rule(filter, number, 1, SCMP_A0_64(SCMP_CMP_EQ, AF_INET6));
	} else if (strcmp(name, "mmap") == 0) {
		rule(filter, number, 1, SCMP_A2_64(SCMP_CMP_MASKED_EQ, PROT_WRITE, 0));
		rule(filter, number, 1, SCMP_A2_64(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	} else if (strcmp(name, "mprotect") == 0 || strcmp(name, "pkey_mprotect") == 0) {
		rule(filter, number, 1, SCMP_A2_64(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	} else if (strcmp(name, "clone") == 0) {
		rule(filter, number, 1, SCMP_A0_64(SCMP_CMP_MASKED_EQ, namespaces, 0));
	} else if (strcmp(name, "clone3") == 0) {
		/* Its flags are out of a filter's reach: glibc falls back to clone. */
		if (seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), number, 0) != 0)
			die("seccomp_rule_add");
	} else {
		rule(filter, number, 0, any);
	}
}

/* As root, which the units' users are not, SQLite gives its journal the owner
 * of the database; it takes a refusal, which is what the unit's would be. */
static void refuse_chown(scmp_filter_ctx filter)
{
	if (geteuid() == 0 &&
		seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(fchown), 0) != 0)
		die("seccomp_rule_add");
}

static void enter_sandbox(const char *path)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	FILE *list = fopen(path, "re");
	char name[128];

	if (filter == NULL || list == NULL)
		die(path);
	while (fgets(name, sizeof(name), list) != NULL) {
		name[strcspn(name, "\n")] = '\0';
		allow(filter, name);
	}
	fclose(list);
	refuse_chown(filter);
	errno = -seccomp_load(filter);
	if (errno != 0)
		die("seccomp_load");
	seccomp_release(filter);
}

int main(int argc, char **argv)
{
	if (argc < 4) {
		fputs("usage: sandbox_exec SYSCALLS SOCKET PROGRAM ARGUMENT...\n", stderr);
		return EXIT_FAILURE;
	}
	if (strcmp(argv[2], "-") != 0)
		pass_socket(argv[2]);
	enter_sandbox(argv[1]);
	execv(argv[3], argv + 3);
	die(argv[3]);
}
