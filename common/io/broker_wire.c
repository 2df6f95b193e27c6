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
		return text_ends(request->bind.interface, sizeof(request->bind.interface));
	case VS_BROKER_OPEN_LOG:
		return true;
	default:
		return false;
	}
}

int vs_broker_send_reply(int socket_fd, const struct vs_broker_reply *reply, int fd)
{
	union fd_space control = { 0 };
	struct iovec iov = { .iov_base = (void *)reply, .iov_len = sizeof(*reply) };
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
		n = sendmsg(socket_fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

int vs_broker_receive_reply(int socket_fd, struct vs_broker_reply *reply, int *fd)
{
	union fd_space control = { 0 };
	struct iovec iov = { .iov_base = reply, .iov_len = sizeof(*reply) };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	ssize_t n;

	*fd = -1;
	do {
		n = recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n == 0 ? -EPIPE : -errno;
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
	    header->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(fd, CMSG_DATA(header), sizeof(*fd));
	reply->fault.text[sizeof(reply->fault.text) - 1] = '\0';
	return n == sizeof(*reply) ? 0 : -EBADMSG;
}
