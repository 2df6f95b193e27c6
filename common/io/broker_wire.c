#include "io/broker_wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* Control data with one descriptor. */
union fd_space {
	struct cmsghdr header;
	char space[CMSG_SPACE(sizeof(int))];
};

static bool text_ends(const char *text, size_t size)
{
	return memchr(text, '\0', size);
}

bool vs_broker_request_valid(const struct vs_broker_request *request, size_t size)
{
	if (size != sizeof(*request))
		return false;
	switch (request->verb) {
	case VS_BROKER_READ_FILE:
		return text_ends(request->path, sizeof(request->path));
	case VS_BROKER_OPEN_TAP:
	case VS_BROKER_TAP_UP:
	case VS_BROKER_CLOSE_TAP:
		return text_ends(request->tap, sizeof(request->tap));
	case VS_BROKER_BIND_UDP:
	case VS_BROKER_OPEN_TCP:
	case VS_BROKER_MUTE_TCP:
		return text_ends(request->bind.interface, sizeof(request->bind.interface));
	case VS_BROKER_OPEN_RAW:
		return text_ends(request->raw.of.interface, sizeof(request->raw.of.interface));
	case VS_BROKER_OPEN_LOG:
		return true;
	default:
		return false;
	}
}

/* One message, with `fd` unless it is -1. */
static int send_message(int socket_fd, const void *bytes, size_t size, int fd, int flags)
{
	union fd_space control = { 0 };
	struct iovec iov = { .iov_base = (void *)bytes, .iov_len = size };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	}
	ssize_t n;
	do {
		n = sendmsg(socket_fd, &message, MSG_NOSIGNAL | flags);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

/* The size of the next message, also where that is more than there is room for, or -errno. There is room for one
 * descriptor; the kernel closes what comes beyond it. */
static ssize_t receive_message(int socket_fd, void *bytes, size_t size, int *fd, int flags)
{
	union fd_space control = { 0 };
	struct iovec iov = { .iov_base = bytes, .iov_len = size };
	/* Without the padding, which would take a second descriptor. */
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_LEN(sizeof(int))
	};
	ssize_t n;

	*fd = -1;
	do {
		n = recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC | MSG_TRUNC | flags);
	} while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 ? -errno : 0;
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
	    header->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(fd, CMSG_DATA(header), sizeof(*fd));
	return n;
}

int vs_broker_send_request(int socket_fd, const struct vs_broker_request *request, int fd)
{
	return send_message(socket_fd, request, sizeof(*request), fd, 0);
}

ssize_t vs_broker_receive_request(int socket_fd, struct vs_broker_request *request, int *fd)
{
	memset(request, 0, sizeof(*request));
	return receive_message(socket_fd, request, sizeof(*request), fd, MSG_DONTWAIT);
}

/* A network process that does not read its replies has none to wait for. */
int vs_broker_send_reply(int socket_fd, const struct vs_broker_reply *reply, int fd)
{
	return send_message(socket_fd, reply, sizeof(*reply), fd, MSG_DONTWAIT);
}

int vs_broker_receive_reply(int socket_fd, struct vs_broker_reply *reply, int *fd)
{
	ssize_t n = receive_message(socket_fd, reply, sizeof(*reply), fd, 0);

	if (n <= 0)
		return n == 0 ? -EPIPE : (int)n;
	reply->fault.text[sizeof(reply->fault.text) - 1] = '\0';
	return n == sizeof(*reply) ? 0 : -EBADMSG;
}
