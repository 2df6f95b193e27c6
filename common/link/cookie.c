#include "link/cookie.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "link/handshake.h"

#define REPLY_HEADER 4

/* The cookie of the addr under the secret of the given period. */
static void make_in_period(const struct vs_crypto *crypto, const uint8_t seed[VS_COOKIE_SEED_SIZE],
			   const struct vs_addr *addr, uint64_t period, uint8_t out[VS_COOKIE_SIZE])
{
	uint8_t number[8], key[VS_ADDR_KEY_SIZE], secret[VS_HASH_SIZE], full[VS_HASH_SIZE];
	struct iovec period_part = {number, sizeof(number)}, addr_part = {key, sizeof(key)};

	vs_put_be64(number, period);
	crypto->hmac(secret, seed, VS_COOKIE_SEED_SIZE, &period_part, 1);
	vs_addr_key(addr, key);
	crypto->hmac(full, secret, sizeof(secret), &addr_part, 1);
	memcpy(out, full, VS_COOKIE_SIZE);
	vs_wipe(secret, sizeof(secret));
}

void vs_cookie_make(const struct vs_crypto *crypto, const uint8_t seed[VS_COOKIE_SEED_SIZE],
		    const struct vs_addr *addr, uint64_t now, uint8_t out[VS_COOKIE_SIZE])
{
	make_in_period(crypto, seed, addr, now / VS_COOKIE_LIFE, out);
}

bool vs_cookie_proves(const struct vs_crypto *crypto, const uint8_t seed[VS_COOKIE_SEED_SIZE],
		      const struct vs_addr *addr, uint64_t now, const uint8_t *message, size_t len)
{
	uint64_t period = now / VS_COOKIE_LIFE;
	uint8_t cookie[VS_COOKIE_SIZE];

	make_in_period(crypto, seed, addr, period, cookie);
	if (vs_mac2_valid(crypto, cookie, message, len))
		return true;
	if (!period)
		return false;
	make_in_period(crypto, seed, addr, period - 1, cookie);
	return vs_mac2_valid(crypto, cookie, message, len);
}

static struct vs_aead *sealer(const struct vs_crypto *crypto, const uint8_t server_public[VS_KEY_SIZE],
			      const uint8_t salt[VS_COOKIE_SALT])
{
	static const char label[] = "vswitch cookie\x01"; /* HKDF-Expand's info and its counter */
	struct iovec input = {(void *)server_public, VS_KEY_SIZE}, info = {(void *)label, strlen(label)};
	uint8_t extracted[VS_HASH_SIZE], key[VS_HASH_SIZE];

	crypto->hmac(extracted, salt, VS_COOKIE_SALT, &input, 1);
	crypto->hmac(key, extracted, sizeof(extracted), &info, 1);
	return crypto->aead_new(VS_CIPHER_CHACHA20_POLY1305, key);
}

int vs_cookie_reply(const struct vs_crypto *crypto, const uint8_t server_public[VS_KEY_SIZE],
		    const uint8_t cookie[VS_COOKIE_SIZE], uint32_t receiver_index, const uint8_t mac1[VS_MAC_SIZE],
		    const uint8_t salt[VS_COOKIE_SALT], uint8_t out[VS_COOKIE_REPLY_SIZE])
{
	struct vs_aead *aead = sealer(crypto, server_public, salt);
	struct iovec part = {(void *)cookie, VS_COOKIE_SIZE};

	if (!aead)
		return -ENOMEM;
	out[0] = VS_TYPE_COOKIE;
	vs_put_be24(out + 1, receiver_index);
	memcpy(out + REPLY_HEADER, salt, VS_COOKIE_SALT);
	int err = crypto->aead_seal(aead, 0, mac1, VS_MAC_SIZE, &part, 1, out + REPLY_HEADER + VS_COOKIE_SALT);
	crypto->aead_free(aead);
	return err;
}

int vs_cookie_open(const struct vs_crypto *crypto, const uint8_t server_public[VS_KEY_SIZE], const uint8_t *reply,
		   const uint8_t mac1[VS_MAC_SIZE], uint8_t cookie[VS_COOKIE_SIZE])
{
	const uint8_t *salt = reply + REPLY_HEADER, *sealed = salt + VS_COOKIE_SALT;
	struct vs_aead *aead = sealer(crypto, server_public, salt);

	if (!aead)
		return -ENOMEM;
	int err = crypto->aead_open(aead, 0, mac1, VS_MAC_SIZE, sealed, VS_COOKIE_SIZE + VS_SEAL_TAG, cookie);
	crypto->aead_free(aead);
	return err;
}
