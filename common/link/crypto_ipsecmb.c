/* Bulk encryption by Intel's Multi-Buffer Crypto library (libipsec-mb, 1.3 and newer; x86-64): one call a datagram, without
 * a look-up by name, in whatever vector instructions the processor has. Everything else is another backend's work.
 *
 * The library's manager is a table of functions, chosen once by processor; the calls that are used here take one datagram
 * at a time and leave it alone, so all threads share it. An AES-GCM key schedule holds no state of a datagram either, so
 * one serves for sealing and for opening. */
#include "link/crypto.h"

#include <assert.h>
#include <errno.h>
#include <intel-ipsec-mb.h>
#include <pthread.h>
#include <stdlib.h>

#include "link/crypto_backend.h"
#include "link/parts.h"

#ifdef VS_HAVE_OPENSSL
#define OTHER vs_crypto_openssl
#else
#define OTHER vs_crypto_mbedtls
#endif

#define ALIGNMENT 64 /* of the key schedule */

struct vs_aead {
	struct gcm_key_data gcm; /* first, for its alignment */
	uint8_t key[VS_KEY_SIZE];
	enum vs_cipher cipher;
};

static IMB_MGR *manager;

static void make_manager(void)
{
	/* Without these instructions it would compute with tables, at a pace that depends on the key. */
	manager = vs_cpu_has_aes() ? alloc_mb_mgr(0) : NULL;
	if (!manager)
		return;
	init_mb_mgr_auto(manager, NULL);
	if (imb_get_errno(manager)) {
		free_mb_mgr(manager);
		manager = NULL;
	}
}

bool vs_crypto_ipsecmb_usable(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, make_manager);
	return manager != NULL;
}

/* --- What others do --- */

static int x25519(uint8_t out[VS_KEY_SIZE], const uint8_t scalar[VS_KEY_SIZE], const uint8_t point[VS_KEY_SIZE])
{
	return OTHER.x25519(out, scalar, point);
}

static int x25519_public(uint8_t out[VS_KEY_SIZE], const uint8_t scalar[VS_KEY_SIZE])
{
	return OTHER.x25519_public(out, scalar);
}

static void sha256(uint8_t out[VS_HASH_SIZE], const struct iovec *parts, size_t n)
{
	OTHER.sha256(out, parts, n);
}

static void hmac(uint8_t out[VS_HASH_SIZE], const uint8_t *key, size_t key_len, const struct iovec *parts, size_t n)
{
	OTHER.hmac(out, key, key_len, parts, n);
}

/* --- AEAD --- */

static void aead_free(struct vs_aead *aead)
{
	if (!aead)
		return;
	vs_wipe(aead, sizeof(*aead));
	free(aead);
}

static struct vs_aead *aead_new(enum vs_cipher cipher, const uint8_t key[VS_KEY_SIZE])
{
	size_t size = (sizeof(struct vs_aead) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	struct vs_aead *aead = vs_crypto_ipsecmb_usable() ? aligned_alloc(ALIGNMENT, size) : NULL;
	if (!aead)
		return NULL;
	aead->cipher = cipher;
	memcpy(aead->key, key, sizeof(aead->key));
	if (cipher == VS_CIPHER_AES_256_GCM)
		IMB_AES256_GCM_PRE(manager, key, &aead->gcm);
	return aead;
}

static int aead_seal(struct vs_aead *aead, uint64_t counter, const void *ad, size_t ad_len, const struct iovec *parts,
		     size_t n, uint8_t *out)
{
	const uint8_t *in = n == 1 ? parts[0].iov_base : out;
	size_t size = n == 1 ? parts[0].iov_len : vs_parts_gather(out, parts, n);
	uint8_t nonce[VS_NONCE_SIZE];

	assert(n <= VS_AEAD_PARTS_MAX);
	vs_nonce_encode(nonce, aead->cipher, counter);
	if (aead->cipher == VS_CIPHER_AES_256_GCM) {
		struct gcm_context_data ctx;
		IMB_AES256_GCM_ENC(manager, &aead->gcm, &ctx, out, in, size, nonce, ad, ad_len, out + size, VS_SEAL_TAG);
		vs_wipe(&ctx, sizeof(ctx)); /* from its hash, with the datagram, the hash key follows */
	} else {
		struct chacha20_poly1305_context_data ctx;
		IMB_CHACHA20_POLY1305_INIT(manager, aead->key, &ctx, nonce, ad, ad_len);
		IMB_CHACHA20_POLY1305_ENC_UPDATE(manager, aead->key, &ctx, out, in, size);
		IMB_CHACHA20_POLY1305_ENC_FINALIZE(manager, &ctx, out + size, VS_SEAL_TAG);
		vs_wipe(&ctx, sizeof(ctx)); /* it holds the one-time key */
	}
	return 0;
}

/* In a time that does not depend on where they differ. */
static bool equal_tags(const uint8_t a[VS_SEAL_TAG], const uint8_t b[VS_SEAL_TAG])
{
	uint8_t difference = 0;
	for (unsigned i = 0; i < VS_SEAL_TAG; i++)
		difference |= a[i] ^ b[i];
	return difference == 0;
}

static int aead_open(struct vs_aead *aead, uint64_t counter, const void *ad, size_t ad_len, const uint8_t *data,
		     size_t len, uint8_t *out)
{
	if (len < VS_SEAL_TAG)
		return -EBADMSG;

	size_t size = len - VS_SEAL_TAG;
	uint8_t nonce[VS_NONCE_SIZE], tag[VS_SEAL_TAG];

	vs_nonce_encode(nonce, aead->cipher, counter);
	if (aead->cipher == VS_CIPHER_AES_256_GCM) {
		struct gcm_context_data ctx;
		IMB_AES256_GCM_DEC(manager, &aead->gcm, &ctx, out, data, size, nonce, ad, ad_len, tag, VS_SEAL_TAG);
		vs_wipe(&ctx, sizeof(ctx));
	} else {
		struct chacha20_poly1305_context_data ctx;
		IMB_CHACHA20_POLY1305_INIT(manager, aead->key, &ctx, nonce, ad, ad_len);
		IMB_CHACHA20_POLY1305_DEC_UPDATE(manager, aead->key, &ctx, out, data, size);
		IMB_CHACHA20_POLY1305_DEC_FINALIZE(manager, &ctx, tag, VS_SEAL_TAG);
		vs_wipe(&ctx, sizeof(ctx));
	}
	return equal_tags(tag, data + size) ? 0 : -EBADMSG;
}

const struct vs_crypto vs_crypto_ipsecmb = {
	.name = "ipsec-mb",
	.x25519 = x25519,
	.x25519_public = x25519_public,
	.sha256 = sha256,
	.hmac = hmac,
	.aead_new = aead_new,
	.aead_free = aead_free,
	.aead_seal = aead_seal,
	.aead_open = aead_open,
};
