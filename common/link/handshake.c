#include "link/handshake.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"

/* The payload that gives an initiation its constant size. */
#define INITIATION_PAYLOAD (VS_INITIATION_SIZE - VS_INITIATION_HEADER - VS_NOISE_INITIATION_OVERHEAD - 2 * VS_MAC_SIZE)

_Static_assert(VS_OFFER_ENCODED_MAX + VS_TLV_HEADER <= INITIATION_PAYLOAD, "an offer fits, with a PAD");
_Static_assert(VS_RESPONSE_HEADER + VS_NOISE_RESPONSE_OVERHEAD + VS_PARAMS_ENCODED_MAX + 2 * VS_MAC_SIZE <=
		       VS_RESPONSE_MAX,
	       "a response is never longer than its question");
_Static_assert(VS_COOKIE_REPLY_SIZE < VS_INITIATION_SIZE, "nor is a cookie reply");

/* --- MACs --------------------------------------------------------------------------------------------------------- */

void vs_mac1_key(const struct vs_crypto *crypto, const uint8_t receiver[VS_KEY_SIZE], uint8_t out[VS_HASH_SIZE])
{
	static const char label[] = "vswitch mac1";
	struct iovec parts[] = {{(void *)label, strlen(label)}, {(void *)receiver, VS_KEY_SIZE}};

	crypto->sha256(out, parts, 2);
}

static void mac(const struct vs_crypto *crypto, const uint8_t *key, size_t key_len, const uint8_t *message, size_t len,
		uint8_t out[VS_MAC_SIZE])
{
	struct iovec part = {(void *)message, len};
	uint8_t full[VS_HASH_SIZE];

	crypto->hmac(full, key, key_len, &part, 1);
	memcpy(out, full, VS_MAC_SIZE);
}

static bool equal_in_constant_time(const uint8_t *a, const uint8_t *b, size_t n)
{
	uint8_t bits = 0;

	for (size_t i = 0; i < n; i++)
		bits |= a[i] ^ b[i];
	return !bits;
}

size_t vs_macs_append(const struct vs_crypto *crypto, const uint8_t mac1_key[VS_HASH_SIZE], const uint8_t *cookie,
		      uint8_t *message, size_t len)
{
	mac(crypto, mac1_key, VS_HASH_SIZE, message, len, message + len);
	len += VS_MAC_SIZE;
	if (cookie)
		mac(crypto, cookie, VS_COOKIE_SIZE, message, len, message + len);
	else
		memset(message + len, 0, VS_MAC_SIZE);
	return len + VS_MAC_SIZE;
}

bool vs_mac1_valid(const struct vs_crypto *crypto, const uint8_t mac1_key[VS_HASH_SIZE], const uint8_t *message,
		   size_t len)
{
	uint8_t want[VS_MAC_SIZE];

	mac(crypto, mac1_key, VS_HASH_SIZE, message, len - 2 * VS_MAC_SIZE, want);
	return equal_in_constant_time(want, vs_mac1_of(message, len), VS_MAC_SIZE);
}

bool vs_mac2_valid(const struct vs_crypto *crypto, const uint8_t cookie[VS_COOKIE_SIZE], const uint8_t *message,
		   size_t len)
{
	uint8_t want[VS_MAC_SIZE];

	mac(crypto, cookie, VS_COOKIE_SIZE, message, len - VS_MAC_SIZE, want);
	return equal_in_constant_time(want, message + len - VS_MAC_SIZE, VS_MAC_SIZE);
}

/* --- Jobs --------------------------------------------------------------------------------------------------------- */

/* Puts the MACs behind `len` bytes of a message to the noise state's peer. */
static void finish(struct vs_handshake_job *job, size_t len)
{
	const struct vs_crypto *crypto = job->noise.crypto;
	uint8_t key[VS_HASH_SIZE];

	vs_mac1_key(crypto, job->noise.remote_static, key);
	job->len = vs_macs_append(crypto, key, job->has_cookie ? job->cookie : NULL, job->datagram, len);
}

static void set_keys(struct vs_handshake_job *job, bool initiator)
{
	struct vs_session_keys *keys = &job->keys;

	vs_noise_split(&job->noise, initiator ? keys->send : keys->recv, initiator ? keys->recv : keys->send);
	keys->cipher = job->params.cipher;
	keys->local_index = job->local_index;
	keys->remote_index = job->remote_index;
	keys->initiator = initiator;
}

static int build_initiation(struct vs_handshake_job *job)
{
	uint8_t payload[INITIATION_PAYLOAD], *p = job->datagram;

	vs_tlv_pad(payload, vs_offer_encode(&job->offer, payload), sizeof(payload));
	p[0] = VS_TYPE_INITIATION;
	vs_put_be24(p + 1, job->local_index);
	int err = vs_noise_write_initiation(&job->noise, job->ephemeral, payload, sizeof(payload),
					    p + VS_INITIATION_HEADER);
	if (!err)
		finish(job, VS_INITIATION_SIZE - 2 * VS_MAC_SIZE);
	return err;
}

static int read_initiation(struct vs_handshake_job *job)
{
	uint8_t payload[VS_HANDSHAKE_MAX];

	if (job->len < VS_INITIATION_SIZE || job->len > VS_HANDSHAKE_MAX)
		return -EBADMSG;
	size_t len = job->len - VS_INITIATION_HEADER - 2 * VS_MAC_SIZE;
	job->remote_index = vs_get_be24(job->datagram + 1);
	int err = vs_noise_read_initiation(&job->noise, job->datagram + VS_INITIATION_HEADER, len, payload);
	if (err)
		return err;
	return vs_offer_decode(payload, len - VS_NOISE_INITIATION_OVERHEAD, &job->offer);
}

static int build_response(struct vs_handshake_job *job)
{
	uint8_t payload[VS_PARAMS_ENCODED_MAX], *p = job->datagram;
	size_t len = vs_params_encode(&job->params, payload);

	p[0] = VS_TYPE_RESPONSE;
	vs_put_be24(p + 1, job->remote_index);
	p[4] = 0;
	vs_put_be24(p + 5, job->local_index);
	int err = vs_noise_write_response(&job->noise, job->ephemeral, job->psk, payload, len, p + VS_RESPONSE_HEADER);
	if (err)
		return err;
	finish(job, VS_RESPONSE_HEADER + VS_NOISE_RESPONSE_OVERHEAD + len);
	set_keys(job, false);
	return 0;
}

static int read_response(struct vs_handshake_job *job)
{
	uint8_t payload[VS_RESPONSE_MAX];

	if (job->len < VS_RESPONSE_HEADER + VS_NOISE_RESPONSE_OVERHEAD + 2 * VS_MAC_SIZE || job->len > VS_RESPONSE_MAX)
		return -EBADMSG;
	size_t len = job->len - VS_RESPONSE_HEADER - 2 * VS_MAC_SIZE;
	job->remote_index = vs_get_be24(job->datagram + 5);
	int err = vs_noise_read_response(&job->noise, job->psk, job->datagram + VS_RESPONSE_HEADER, len, payload);
	if (!err)
		err = vs_params_decode(payload, len - VS_NOISE_RESPONSE_OVERHEAD, &job->params);
	if (!err)
		set_keys(job, true);
	return err;
}

void vs_handshake_job_run(struct vs_handshake_job *job)
{
	switch (job->kind) {
	case VS_JOB_BUILD_INITIATION:
		job->result = build_initiation(job);
		return;
	case VS_JOB_READ_INITIATION:
		job->result = read_initiation(job);
		return;
	case VS_JOB_BUILD_RESPONSE:
		job->result = build_response(job);
		return;
	case VS_JOB_READ_RESPONSE:
		job->result = read_response(job);
		return;
	}
	job->result = -EINVAL;
}

void vs_handshake_job_wipe(struct vs_handshake_job *job)
{
	vs_wipe(&job->noise, sizeof(job->noise));
	vs_wipe(job->ephemeral, sizeof(job->ephemeral));
	vs_wipe(job->psk, sizeof(job->psk));
	vs_wipe(job->cookie, sizeof(job->cookie));
	vs_wipe(&job->keys, sizeof(job->keys));
}
