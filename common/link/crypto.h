/* Cryptographic primitives, from backends behind one table: mbedTLS through its PSA API (always built), libcrypto (built
 * where present) and, for bulk encryption alone, libipsec-mb (built where present; the fastest by far, where the
 * processor suits it). The choice is made once per call site by vs_crypto_default(); tests run each backend against the
 * others.
 *
 * Nothing here reads a clock or makes random bytes: keys and nonces are parameters. Every function is safe to call
 * from several threads at once on different objects. */
#ifndef VS_LINK_CRYPTO_H
#define VS_LINK_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/compiler.h"
#include "link/wire.h"

#define VS_HASH_SIZE 32
#define VS_AEAD_PARTS_MAX 128 /* parts of one plaintext */

/* Values travel in the handshake (PROTOCOL.md). */
enum vs_cipher {
	VS_CIPHER_AES_256_GCM = 1,
	VS_CIPHER_CHACHA20_POLY1305 = 2,
};

/* "aes-256-gcm", "chacha20-poly1305". */
const char *vs_cipher_name(enum vs_cipher cipher);

/* Whether this CPU has instructions for AES and carry-less multiplication, so that AES-256-GCM is the faster cipher. */
bool vs_cpu_has_aes(void);

struct vs_aead;

struct vs_crypto {
	const char *name; /* "openssl", "mbedtls" or "ipsec-mb" */

	/* X25519 (RFC 7748). 0, or -EINVAL if the result is all zero (a low-order point). */
	int (*x25519)(uint8_t out[VS_KEY_SIZE], const uint8_t scalar[VS_KEY_SIZE], const uint8_t point[VS_KEY_SIZE]);
	/* The public key of a private one. 0 or -EINVAL. */
	int (*x25519_public)(uint8_t out[VS_KEY_SIZE], const uint8_t scalar[VS_KEY_SIZE]);
	/* SHA-256 over the concatenation of the parts. */
	void (*sha256)(uint8_t out[VS_HASH_SIZE], const struct iovec *parts, size_t n);
	/* HMAC-SHA-256 (RFC 2104) over the concatenation of the parts. key_len may be 0 to 64. */
	void (*hmac)(uint8_t out[VS_HASH_SIZE], const uint8_t *key, size_t key_len, const struct iovec *parts, size_t n);

	/* NULL: out of memory. */
	struct vs_aead *(*aead_new)(enum vs_cipher cipher, const uint8_t key[VS_KEY_SIZE]);
	/* Wipes the key schedule. NULL is accepted. */
	void (*aead_free)(struct vs_aead *aead);
	/* Encrypts the concatenation of the parts (n <= VS_AEAD_PARTS_MAX) and appends the tag: `out` receives
	 * sum + VS_SEAL_TAG bytes and does not overlap the parts, except that a single part may equal `out`.
	 * The nonce is 32 zero bits and the counter, encoded as Noise does it: little-endian for
	 * ChaCha20-Poly1305, big-endian for AES-GCM. 0, or -EIO if the library failed; libipsec-mb has no way to. */
	int (*aead_seal)(struct vs_aead *aead, uint64_t counter, const void *ad, size_t ad_len,
			 const struct iovec *parts, size_t n, uint8_t *out);
	/* Decrypts len bytes (tag included) to `out` (len - VS_SEAL_TAG bytes; may equal `data`).
	 * 0, or -EBADMSG if it does not authenticate (`out` is then not to be used). */
	int (*aead_open)(struct vs_aead *aead, uint64_t counter, const void *ad, size_t ad_len,
			 const uint8_t *data, size_t len, uint8_t *out);
};

/* Must be called once before any other function of this header, before threads start. 0 or -EIO. */
int vs_crypto_init(void) VS_MUST_CHECK;

/* The backend to use: libipsec-mb where built in and this processor has what it needs, else libcrypto where built in, else
 * mbedTLS. */
const struct vs_crypto *vs_crypto_default(void);

extern const struct vs_crypto vs_crypto_mbedtls;
#ifdef VS_HAVE_OPENSSL
extern const struct vs_crypto vs_crypto_openssl;
#endif
#ifdef VS_HAVE_IPSECMB
/* Only where vs_crypto_ipsecmb_usable(): else no AEAD comes of it. */
extern const struct vs_crypto vs_crypto_ipsecmb;
bool vs_crypto_ipsecmb_usable(void);
#endif

#endif
