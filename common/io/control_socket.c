#include "io/control_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define BACKLOG 16

/* A program that was killed a moment ago may still hold lock and socket. */
#define TRIES 25
#define PAUSE_NSEC (20 * 1000 * 1000)

static int explain(const char *path, int err, struct vs_fault *fault)
{
	bool forbidden = err == -EACCES || err == -EPERM || err == -EROFS;

	return vs_fault(fault, err, "control socket %s: %s%s", path, strerror(-err),
			forbidden ? " (run as root, or set another 'control')" : "");
}

/* `pid` is 0 where it is not known. */
static int in_use(const char *path, const char *program, int pid, struct vs_fault *fault)
{
	char who[32] = "";

	if (pid > 0)
		snprintf(who, sizeof(who), " (pid %d)", pid);
	return vs_fault(fault, -EADDRINUSE, "control socket %s is in use by another %s%s", path, program, who);
}

static int make_directory(const char *path)
{
	char dir[VS_CONFIG_PATH_MAX];
	const char *slash = strrchr(path, '/');

	if (!slash || slash == path)
		return 0;
	snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
	if (mkdir(dir, 0755) == 0)
		return chmod(dir, 0755) < 0 ? -errno : 0; /* whatever the umask */
	return errno == EEXIST ? 0 : -errno;
}

/* --- The lock ----------------------------------------------------------------------------------------------------- */

static void lock_path(const char *path, char out[VS_CONFIG_PATH_MAX + 8])
{
	snprintf(out, VS_CONFIG_PATH_MAX + 8, "%s.lock", path);
}

/* Whether the open file is still the one of that name: its last owner may have removed it before we got the lock. */
static bool is_current(int fd, const char *path)
{
	struct stat ours, theirs;

	return fstat(fd, &ours) == 0 && stat(path, &theirs) == 0 && ours.st_ino == theirs.st_ino &&
	       ours.st_dev == theirs.st_dev;
}

static int read_pid(int fd)
{
	char text[16] = "";

	return pread(fd, text, sizeof(text) - 1, 0) > 0 ? atoi(text) : 0;
}

static void write_pid(int fd)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	/* Only for a message: if it fails, that has no pid. */
	(void)!ftruncate(fd, 0);
	(void)!pwrite(fd, text, (size_t)len, 0);
}

/* The locked file's descriptor, -EWOULDBLOCK with *owner set, or -errno. */
static int take_lock(const char *path, int *owner)
{
	char name[VS_CONFIG_PATH_MAX + 8];

	lock_path(path, name);
	for (;;) {
		int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
		if (fd < 0)
			return -errno;
		int err = flock(fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
		if (err == 0 && is_current(fd, name)) {
			write_pid(fd);
			return fd;
		}
		*owner = err < 0 ? read_pid(fd) : 0;
		close(fd);
		if (err < 0)
			return err;
	}
}

/* --- The socket --------------------------------------------------------------------------------------------------- */

/* Connects to the socket file as a client would. 0: somebody listens, whose pid is *owner; or -errno. */
static int try_connect(const struct sockaddr_un *address, int *owner)
{
	struct ucred peer = { 0 };
	socklen_t len = sizeof(peer);

	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	int err = connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno : 0;
	if (err == 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0)
		*owner = peer.pid;
	close(fd);
	return err == -EAGAIN ? 0 : err;
}

/* Removes what a dead program has left at the address, and nothing else: the path may be a mistake and lead to another
 * program's socket, or to a file. */
static int clear_leftover(const struct sockaddr_un *address, const char *program, struct vs_fault *fault)
{
	const char *path = address->sun_path;
	struct stat st;
	int owner = 0;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : explain(path, -errno, fault);
	if (!S_ISSOCK(st.st_mode))
		return vs_fault(fault, -ENOTSOCK, "control socket %s: a file that is no socket is in the way", path);
	int err = try_connect(address, &owner);
	if (err == 0)
		return in_use(path, program, owner, fault);
	if (err != -ECONNREFUSED || unlink(path) < 0)
		return explain(path, err != -ECONNREFUSED ? err : -errno, fault);
	return 0;
}

/* A listening socket, or -errno. The mode is narrow from the first moment on. */
static int listen_at(const struct sockaddr_un *address, mode_t mode, struct vs_fault *fault)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return explain(address->sun_path, -errno, fault);
	mode_t old_mask = umask(0177);
	int err = bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno : 0;
	umask(old_mask);
	if (err == 0 && (chmod(address->sun_path, mode) < 0 || listen(fd, BACKLOG) < 0))
		err = -errno;
	if (err == 0)
		return fd;
	close(fd);
	return explain(address->sun_path, err, fault);
}

/* One try. 0 or -errno. */
static int claim(struct vs_control_socket *control, const struct sockaddr_un *address, mode_t mode, const char *program,
		 struct vs_fault *fault)
{
	const char *path = address->sun_path;
	int owner = 0;

	int lock_fd = take_lock(path, &owner);
	if (lock_fd < 0)
		return lock_fd == -EWOULDBLOCK ? in_use(path, program, owner, fault) : explain(path, lock_fd, fault);
	int err = clear_leftover(address, program, fault);
	int listen_fd = err < 0 ? err : listen_at(address, mode, fault);
	if (listen_fd < 0) {
		close(lock_fd);
		return listen_fd;
	}
	control->lock_fd = lock_fd;
	control->listen_fd = listen_fd;
	return 0;
}

int vs_control_socket_open(struct vs_control_socket *control, const char *path, mode_t mode, const char *program,
			   struct vs_fault *fault)
{
	static const struct timespec pause = { .tv_nsec = PAUSE_NSEC };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int err;

	*control = (struct vs_control_socket){ .lock_fd = -1, .listen_fd = -1 };
	if (!path[0])
		return 0;
	if (strlen(path) >= sizeof(address.sun_path))
		return vs_fault(fault, -ENAMETOOLONG, "control socket %s: the path is longer than %zu characters", path,
				sizeof(address.sun_path) - 1);
	strcpy(address.sun_path, path);
	err = make_directory(path);
	if (err < 0)
		return explain(path, err, fault);
	for (int i = 0; i < TRIES && (err = claim(control, &address, mode, program, fault)) == -EADDRINUSE; i++)
		nanosleep(&pause, NULL);
	if (err == 0)
		strcpy(control->path, path);
	return err;
}

void vs_control_socket_close(struct vs_control_socket *control)
{
	if (control->listen_fd >= 0)
		close(control->listen_fd);
	if (control->lock_fd >= 0)
		close(control->lock_fd);
	control->listen_fd = control->lock_fd = -1;
}

void vs_control_socket_remove(struct vs_control_socket *control)
{
	char name[VS_CONFIG_PATH_MAX + 8];

	if (control->lock_fd >= 0) {
		unlink(control->path);
		lock_path(control->path, name);
		unlink(name); /* as the last step under the lock */
	}
	vs_control_socket_close(control);
}
