/* The mbedTLS backend, through its PSA API alone (2.28, 3.x and 4.x have it).
 *
 * Two things about mbedTLS 2.28's PSA shape this file. It has 32 key slots for the whole process, fewer than a server
 * has links, so an AEAD keeps its key and lends it to a slot only while a datagram is worked on; the one-shot AEAD
 * functions build the key schedule at each call anyway. And its table of slots is not safe for threads: `slots` is
 * held for writing to import and destroy keys, and for reading while a key is in use. */
#include "link/crypto.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <psa/crypto.h>
#include <stdlib.h>

#include "link/crypto_backend.h"
#include "link/parts.h"

#define HMAC_BLOCK 64

struct vs_aead {
	enum vs_cipher cipher;
	uint8_t key[VS_KEY_SIZE];
};

static pthread_rwlock_t slots = PTHREAD_RWLOCK_INITIALIZER;
/* X25519 takes blinding values from the library's generator, which is only safe for threads where it was built so. */
static pthread_mutex_t generator = PTHREAD_MUTEX_INITIALIZER;

static psa_status_t import_key(psa_key_type_t type, psa_key_usage_t usage, psa_algorithm_t alg, const uint8_t *key,
			       psa_key_id_t *id)
{
	psa_key_attributes_t attributes = PSA_KEY_ATTRIBUTES_INIT;

	psa_set_key_type(&attributes, type);
	psa_set_key_usage_flags(&attributes, usage);
	psa_set_key_algorithm(&attributes, alg);
	pthread_rwlock_wrlock(&slots);
	psa_status_t status = psa_import_key(&attributes, key, VS_KEY_SIZE, id);
	pthread_rwlock_unlock(&slots);
	return status;
}

static void destroy_key(psa_key_id_t id)
{
	pthread_rwlock_wrlock(&slots);
	psa_destroy_key(id);
	pthread_rwlock_unlock(&slots);
}

static psa_status_t import_scalar(const uint8_t scalar[VS_KEY_SIZE], psa_key_id_t *id)
{
	return import_key(PSA_KEY_TYPE_ECC_KEY_PAIR(PSA_ECC_FAMILY_MONTGOMERY), PSA_KEY_USAGE_DERIVE, PSA_ALG_ECDH,
			  scalar, id);
}

static bool all_zero(const uint8_t *p, size_t n)
{
	uint8_t bits = 0;

	for (size_t i = 0; i < n; i++)
		bits |= p[i];
	return !bits;
}

static int x25519(uint8_t out[VS_KEY_SIZE], const uint8_t scalar[VS_KEY_SIZE], const uint8_t point[VS_KEY_SIZE])
{
	psa_key_id_t id;
	size_t len;

	if (import_scalar(scalar, &id) != PSA_SUCCESS)
		return -EINVAL;
	pthread_mutex_lock(&generator);
	pthread_rwlock_rdlock(&slots);
	psa_status_t status = psa_raw_key_agreement(PSA_ALG_ECDH, id, point, VS_KEY_SIZE, out, VS_KEY_SIZE, &len);
	pthread_rwlock_unlock(&slots);
	pthread_mutex_unlock(&generator);
	destroy_key(id);
	return status == PSA_SUCCESS && len == VS_KEY_SIZE && !all_zero(out, len) ? 0 : -EINVAL;
}

static int x25519_public(uint8_t out[VS_KEY_SIZE], const uint8_t scalar[VS_KEY_SIZE])
{
	psa_key_id_t id;
	size_t len;

	if (import_scalar(scalar, &id) != PSA_SUCCESS)
		return -EINVAL;
	pthread_mutex_lock(&generator);
	pthread_rwlock_rdlock(&slots);
	psa_status_t status = psa_export_public_key(id, out, VS_KEY_SIZE, &len);
	pthread_rwlock_unlock(&slots);
	pthread_mutex_unlock(&generator);
	destroy_key(id);
	return status == PSA_SUCCESS && len == VS_KEY_SIZE ? 0 : -EINVAL;
}

/* A hash has no way to fail but for want of memory, and going on with a wrong one would be a hole: stop instead. */
static void require(psa_status_t status)
{
	if (status != PSA_SUCCESS)
		abort();
}

static void hash_parts(psa_hash_operation_t *hash, const struct iovec *parts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		require(psa_hash_update(hash, parts[i].iov_base, parts[i].iov_len));
}

static void hash_finish(psa_hash_operation_t *hash, uint8_t out[VS_HASH_SIZE])
{
	size_t len;

	require(psa_hash_finish(hash, out, VS_HASH_SIZE, &len));
}

static void sha256(uint8_t out[VS_HASH_SIZE], const struct iovec *parts, size_t n)
{
	psa_hash_operation_t hash = PSA_HASH_OPERATION_INIT;

	require(psa_hash_setup(&hash, PSA_ALG_SHA_256));
	hash_parts(&hash, parts, n);
	hash_finish(&hash, out);
}

/* Starts H((key ^ pad) || ...). */
static void hmac_start(psa_hash_operation_t *hash, const uint8_t *key, size_t key_len, uint8_t pad)
{
	uint8_t block[HMAC_BLOCK];

	memset(block, pad, sizeof(block));
	for (size_t i = 0; i < key_len; i++)
		block[i] ^= key[i];
	require(psa_hash_setup(hash, PSA_ALG_SHA_256));
	require(psa_hash_update(hash, block, sizeof(block)));
	vs_wipe(block, sizeof(block));
}

/* RFC 2104 from the hash, because PSA's own MAC wants a key slot and refuses an empty key. */
static void hmac(uint8_t out[VS_HASH_SIZE], const uint8_t *key, size_t key_len, const struct iovec *parts, size_t n)
{
	psa_hash_operation_t hash = PSA_HASH_OPERATION_INIT;
	uint8_t inner[VS_HASH_SIZE];

	assert(key_len <= HMAC_BLOCK);
	hmac_start(&hash, key, key_len, 0x36);
	hash_parts(&hash, parts, n);
	hash_finish(&hash, inner);

	hash = psa_hash_operation_init();
	hmac_start(&hash, key, key_len, 0x5c);
	require(psa_hash_update(&hash, inner, sizeof(inner)));
	hash_finish(&hash, out);
	vs_wipe(inner, sizeof(inner));
}

static struct vs_aead *aead_new(enum vs_cipher cipher, const uint8_t key[VS_KEY_SIZE])
{
	struct vs_aead *aead = malloc(sizeof(*aead));

	if (!aead)
		return NULL;
	aead->cipher = cipher;
	memcpy(aead->key, key, VS_KEY_SIZE);
	return aead;
}

static void aead_free(struct vs_aead *aead)
{
	if (!aead)
		return;
	vs_wipe(aead, sizeof(*aead));
	free(aead);
}

static psa_algorithm_t aead_alg(const struct vs_aead *aead)
{
	return aead->cipher == VS_CIPHER_AES_256_GCM ? PSA_ALG_GCM : PSA_ALG_CHACHA20_POLY1305;
}

static psa_status_t import_aead(const struct vs_aead *aead, psa_key_usage_t usage, psa_key_id_t *id)
{
	psa_key_type_t type =
		aead->cipher == VS_CIPHER_AES_256_GCM ? PSA_KEY_TYPE_AES : PSA_KEY_TYPE_CHACHA20;
	return import_key(type, usage, aead_alg(aead), aead->key, id);
}

static int aead_seal(struct vs_aead *aead, uint64_t counter, const void *ad, size_t ad_len, const struct iovec *parts,
		     size_t n, uint8_t *out)
{
	const uint8_t *in = n == 1 ? parts[0].iov_base : out;
	size_t size = n == 1 ? parts[0].iov_len : vs_parts_gather(out, parts, n);
	uint8_t nonce[VS_NONCE_SIZE];
	psa_key_id_t id;
	size_t len;

	assert(n <= VS_AEAD_PARTS_MAX);
	vs_nonce_encode(nonce, aead->cipher, counter);
	if (import_aead(aead, PSA_KEY_USAGE_ENCRYPT, &id) != PSA_SUCCESS)
		return -EIO;
	pthread_rwlock_rdlock(&slots);
	psa_status_t status = psa_aead_encrypt(id, aead_alg(aead), nonce, sizeof(nonce), ad, ad_len, in, size, out,
					       size + VS_SEAL_TAG, &len);
	pthread_rwlock_unlock(&slots);
	destroy_key(id);
	return status == PSA_SUCCESS ? 0 : -EIO;
}

static int aead_open(struct vs_aead *aead, uint64_t counter, const void *ad, size_t ad_len, const uint8_t *data,
		     size_t len, uint8_t *out)
{
	uint8_t nonce[VS_NONCE_SIZE], empty[1];
	psa_key_id_t id;
	size_t n;

	if (len < VS_SEAL_TAG)
		return -EBADMSG;
	vs_nonce_encode(nonce, aead->cipher, counter);
	if (import_aead(aead, PSA_KEY_USAGE_DECRYPT, &id) != PSA_SUCCESS)
		return -EBADMSG;
	pthread_rwlock_rdlock(&slots);
	/* An empty plaintext still needs somewhere to be. */
	psa_status_t status = psa_aead_decrypt(id, aead_alg(aead), nonce, sizeof(nonce), ad, ad_len, data, len,
					       len > VS_SEAL_TAG ? out : empty, len - VS_SEAL_TAG, &n);
	pthread_rwlock_unlock(&slots);
	destroy_key(id);
	return status == PSA_SUCCESS ? 0 : -EBADMSG;
}

const struct vs_crypto vs_crypto_mbedtls = {
	.name = "mbedtls",
	.x25519 = x25519,
	.x25519_public = x25519_public,
	.sha256 = sha256,
	.hmac = hmac,
	.aead_new = aead_new,
	.aead_free = aead_free,
	.aead_seal = aead_seal,
	.aead_open = aead_open,
};
