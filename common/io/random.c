#include "io/random.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"

void vs_random(void *out, size_t n)
{
	uint8_t *at = out;
	while (n) {
		ssize_t got = getrandom(at, n, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			vs_error("no random bytes from the kernel: %s", strerror(errno));
			abort();
		}
		at += got;
		n -= (size_t)got;
	}
}
