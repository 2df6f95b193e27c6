/* The libcrypto backend (OpenSSL 3.0 and newer, EVP interface).
 *
 * An AEAD context is keyed once; a datagram then only sets its nonce, which is several times cheaper than a key
 * schedule. AES-GCM and ChaCha20-Poly1305 run their cipher the same way in both directions, so one context serves for
 * sealing and for opening. */
#include "link/crypto.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdlib.h>

#include "link/crypto_backend.h"
#include "link/parts.h"

struct vs_aead {
	EVP_CIPHER_CTX *ctx;
	enum vs_cipher cipher;
};

static EVP_PKEY *load_private(const uint8_t scalar[VS_KEY_SIZE])
{
	return EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, scalar, VS_KEY_SIZE);
}

static int x25519(uint8_t out[VS_KEY_SIZE], const uint8_t scalar[VS_KEY_SIZE], const uint8_t point[VS_KEY_SIZE])
{
	EVP_PKEY *private = load_private(scalar);
	EVP_PKEY *public = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, point, VS_KEY_SIZE);
	EVP_PKEY_CTX *ctx = private ? EVP_PKEY_CTX_new(private, NULL) : NULL;
	size_t len = VS_KEY_SIZE;

	/* The derivation itself fails on an all-zero result. */
	bool ok = ctx && public && EVP_PKEY_derive_init(ctx) > 0 && EVP_PKEY_derive_set_peer(ctx, public) > 0 &&
		  EVP_PKEY_derive(ctx, out, &len) > 0 && len == VS_KEY_SIZE;

	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(public);
	EVP_PKEY_free(private);
	return ok ? 0 : -EINVAL;
}

static int x25519_public(uint8_t out[VS_KEY_SIZE], const uint8_t scalar[VS_KEY_SIZE])
{
	EVP_PKEY *private = load_private(scalar);
	size_t len = VS_KEY_SIZE;
	bool ok = private && EVP_PKEY_get_raw_public_key(private, out, &len) > 0 && len == VS_KEY_SIZE;

	EVP_PKEY_free(private);
	return ok ? 0 : -EINVAL;
}

/* A hash has no way to fail but for want of memory, and going on with a wrong one would be a hole: stop instead. */
static void require(bool ok)
{
	if (!ok)
		abort();
}

static void sha256(uint8_t out[VS_HASH_SIZE], const struct iovec *parts, size_t n)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	require(ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL));
	for (size_t i = 0; i < n; i++)
		require(EVP_DigestUpdate(ctx, parts[i].iov_base, parts[i].iov_len));
	require(EVP_DigestFinal_ex(ctx, out, NULL));
	EVP_MD_CTX_free(ctx);
}

static void hmac(uint8_t out[VS_HASH_SIZE], const uint8_t *key, size_t key_len, const struct iovec *parts, size_t n)
{
	static const uint8_t no_key[1]; /* NULL would mean "keep the key" */
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *ctx = mac ? EVP_MAC_CTX_new(mac) : NULL;
	size_t len;

	require(ctx && EVP_MAC_init(ctx, key_len ? key : no_key, key_len, params));
	for (size_t i = 0; i < n; i++)
		require(EVP_MAC_update(ctx, parts[i].iov_base, parts[i].iov_len));
	require(EVP_MAC_final(ctx, out, &len, VS_HASH_SIZE) && len == VS_HASH_SIZE);
	EVP_MAC_CTX_free(ctx);
	EVP_MAC_free(mac);
}

static void aead_free(struct vs_aead *aead)
{
	if (!aead)
		return;
	EVP_CIPHER_CTX_free(aead->ctx); /* wipes the key schedule */
	free(aead);
}

static struct vs_aead *aead_new(enum vs_cipher cipher, const uint8_t key[VS_KEY_SIZE])
{
	const EVP_CIPHER *evp = cipher == VS_CIPHER_AES_256_GCM ? EVP_aes_256_gcm() : EVP_chacha20_poly1305();
	struct vs_aead *aead = calloc(1, sizeof(*aead));

	if (!aead)
		return NULL;
	aead->cipher = cipher;
	aead->ctx = EVP_CIPHER_CTX_new();
	if (!aead->ctx || !EVP_CipherInit_ex(aead->ctx, evp, NULL, key, NULL, 1)) {
		aead_free(aead);
		return NULL;
	}
	return aead;
}

/* Sets nonce and direction and feeds the associated data. */
static bool start(struct vs_aead *aead, uint64_t counter, bool encrypt, const void *ad, size_t ad_len)
{
	uint8_t nonce[VS_NONCE_SIZE];
	int len;

	vs_nonce_encode(nonce, aead->cipher, counter);
	if (!EVP_CipherInit_ex(aead->ctx, NULL, NULL, NULL, nonce, encrypt))
		return false;
	return !ad_len || EVP_CipherUpdate(aead->ctx, NULL, &len, ad, (int)ad_len);
}

static int aead_seal(struct vs_aead *aead, uint64_t counter, const void *ad, size_t ad_len, const struct iovec *parts,
		     size_t n, uint8_t *out)
{
	const uint8_t *in = n == 1 ? parts[0].iov_base : out;
	size_t size = n == 1 ? parts[0].iov_len : vs_parts_gather(out, parts, n);
	OSSL_PARAM tag[] = {
		OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, out + size, VS_SEAL_TAG),
		OSSL_PARAM_construct_end(),
	};
	int len;

	assert(n <= VS_AEAD_PARTS_MAX && size <= INT_MAX);
	if (!start(aead, counter, true, ad, ad_len))
		return -EIO;
	if (size && !EVP_EncryptUpdate(aead->ctx, out, &len, in, (int)size))
		return -EIO;
	if (!EVP_EncryptFinal_ex(aead->ctx, out + size, &len) || !EVP_CIPHER_CTX_get_params(aead->ctx, tag))
		return -EIO;
	return 0;
}

static int aead_open(struct vs_aead *aead, uint64_t counter, const void *ad, size_t ad_len, const uint8_t *data,
		     size_t len, uint8_t *out)
{
	if (len < VS_SEAL_TAG || len > INT_MAX)
		return -EBADMSG;

	size_t size = len - VS_SEAL_TAG;
	uint8_t tag[VS_SEAL_TAG], end[VS_SEAL_TAG];
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, VS_SEAL_TAG),
		OSSL_PARAM_construct_end(),
	};
	int n;

	memcpy(tag, data + size, VS_SEAL_TAG);
	if (!start(aead, counter, false, ad, ad_len) || !EVP_CIPHER_CTX_set_params(aead->ctx, params))
		return -EBADMSG;
	if (size && !EVP_DecryptUpdate(aead->ctx, out, &n, data, (int)size))
		return -EBADMSG;
	return EVP_DecryptFinal_ex(aead->ctx, end, &n) > 0 ? 0 : -EBADMSG;
}

const struct vs_crypto vs_crypto_openssl = {
	.name = "openssl",
	.x25519 = x25519,
	.x25519_public = x25519_public,
	.sha256 = sha256,
	.hmac = hmac,
	.aead_new = aead_new,
	.aead_free = aead_free,
	.aead_seal = aead_seal,
	.aead_open = aead_open,
};
