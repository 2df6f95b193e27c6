#include "io/privileges.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"

#define OPEN_FILES 65536

int vs_user_find(struct vs_user *user, const char *name, struct vs_fault *fault)
{
	memset(user, 0, sizeof(*user));
	if (geteuid() != 0)
		return 0;
	errno = 0;
	const struct passwd *entry = getpwnam(name);
	if (!entry)
		return vs_fault(fault, errno ? -errno : -ENOENT, "user '%s' does not exist", name);
	if (entry->pw_uid == 0)
		return vs_fault(fault, -EINVAL, "user '%s' is root: expected an unprivileged user", name);
	snprintf(user->name, sizeof(user->name), "%s", name);
	user->change = true;
	user->uid = entry->pw_uid;
	user->gid = entry->pw_gid;
	return 0;
}

static int become(const struct vs_user *user)
{
	if (setgroups(0, NULL) < 0 || setresgid(user->gid, user->gid, user->gid) < 0 ||
	    setresuid(user->uid, user->uid, user->uid) < 0)
		return -errno;
	return 0;
}

static int change_user(const struct vs_user *user, struct vs_fault *fault)
{
	int err = become(user);

	/* In a user namespace with one user, numbers of others are invalid and setgroups() may be forbidden. */
	if (err == -EINVAL || err == -EPERM) {
		vs_warn("cannot become user '%s' here (%s): only the capabilities are dropped", user->name,
			strerror(-err));
		return 0;
	}
	return err < 0 ? vs_fault(fault, err, "becoming user '%s': %s", user->name, strerror(-err)) : 0;
}

/* Needs CAP_SETPCAP; an ordinary user has an inheritable set of nothing, so that it does not matter there. */
static void empty_bounding_set(void)
{
	for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return;
}

static int empty_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return syscall(SYS_capset, &header, none) < 0 ? -errno : 0;
}

/* LeakSanitizer looks into its own process by ptrace(), which a process that cannot be dumped refuses. */
#if defined(__SANITIZE_ADDRESS__)
#define DUMPABLE 1L
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define DUMPABLE 1L
#endif
#endif
#ifndef DUMPABLE
#define DUMPABLE 0L
#endif

int vs_privileges_drop(const struct vs_user *user, struct vs_fault *fault)
{
	empty_bounding_set();
	int err = user->change ? change_user(user, fault) : 0;
	if (err < 0)
		return err;
	err = empty_capabilities();
	if (err < 0)
		return vs_fault(fault, err, "dropping capabilities: %s", strerror(-err));
	if (prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) < 0 || prctl(PR_SET_DUMPABLE, DUMPABLE, 0L, 0L, 0L) < 0)
		return vs_fault(fault, -errno, "giving up privileges: %s", strerror(errno));
	return 0;
}

void vs_raise_file_limit(void)
{
	struct rlimit limit = { .rlim_cur = OPEN_FILES, .rlim_max = OPEN_FILES };
	struct rlimit now;

	if (getrlimit(RLIMIT_NOFILE, &now) < 0 || (now.rlim_cur != RLIM_INFINITY && now.rlim_cur >= OPEN_FILES))
		return;
	if (now.rlim_max == RLIM_INFINITY || now.rlim_max >= OPEN_FILES)
		limit.rlim_max = now.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
		return;
	now.rlim_cur = now.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &now) < 0)
		vs_debug("limit of open files stays: %s", strerror(errno));
}
