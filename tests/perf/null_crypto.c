#include "perf/null_crypto.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "perf/meter.h"

struct vs_aead {
	uint8_t tag[VS_SEAL_TAG];
};

static struct vs_aead *new_aead(enum vs_cipher cipher, const uint8_t key[VS_KEY_SIZE])
{
	struct vs_aead *aead = malloc(sizeof(*aead));
	(void)cipher;
	if (aead)
		memcpy(aead->tag, key, sizeof(aead->tag));
	return aead;
}

static void free_aead(struct vs_aead *aead)
{
	free(aead);
}

static int seal(struct vs_aead *aead, uint64_t counter, const void *ad, size_t ad_len, const struct iovec *parts,
		size_t n, uint8_t *out)
{
	bool metered = meter_is_on;
	meter_off();
	(void)counter;
	(void)ad;
	(void)ad_len;
	for (size_t i = 0; i < n; i++) {
		memmove(out, parts[i].iov_base, parts[i].iov_len);
		out += parts[i].iov_len;
	}
	memcpy(out, aead->tag, sizeof(aead->tag));
	meter_set(metered);
	return 0;
}

static int open_sealed(struct vs_aead *aead, uint64_t counter, const void *ad, size_t ad_len, const uint8_t *data,
		       size_t len, uint8_t *out)
{
	bool metered = meter_is_on;
	meter_off();
	(void)counter;
	(void)ad;
	(void)ad_len;
	size_t text = len - VS_SEAL_TAG;
	bool good = memcmp(data + text, aead->tag, VS_SEAL_TAG) == 0;
	if (out != data)
		memmove(out, data, text);
	meter_set(metered);
	return good ? 0 : -EBADMSG;
}

const struct vs_crypto null_crypto = {
	.name = "null",
	.aead_new = new_aead,
	.aead_free = free_aead,
	.aead_seal = seal,
	.aead_open = open_sealed,
};
