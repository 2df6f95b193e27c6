#include "link/noise.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"

/* --- Symmetric state (Noise, section 5.2) ------------------------------------------------------------------------- */

static void mix_hash(struct vs_noise *noise, const void *data, size_t len)
{
	struct iovec parts[] = {{noise->hash, VS_HASH_SIZE}, {(void *)data, len}};

	noise->crypto->sha256(noise->hash, parts, 2);
}

/* HKDF (section 4.3): n of `out`, each VS_HASH_SIZE bytes, from the chaining key and the input. */
static void hkdf(const struct vs_noise *noise, const uint8_t *input, size_t len, uint8_t *const out[], uint8_t n)
{
	uint8_t secret[VS_HASH_SIZE];
	struct iovec in = {(void *)input, len};

	noise->crypto->hmac(secret, noise->chaining_key, VS_HASH_SIZE, &in, 1);
	for (uint8_t i = 1; i <= n; i++) {
		struct iovec parts[] = {{i > 1 ? out[i - 2] : NULL, i > 1 ? VS_HASH_SIZE : 0}, {&i, 1}};
		noise->crypto->hmac(out[i - 1], secret, VS_HASH_SIZE, parts, 2);
	}
	vs_wipe(secret, sizeof(secret));
}

static void mix_key(struct vs_noise *noise, const uint8_t input[VS_KEY_SIZE])
{
	uint8_t chaining_key[VS_HASH_SIZE];

	hkdf(noise, input, VS_KEY_SIZE, (uint8_t *const[]){chaining_key, noise->key}, 2);
	memcpy(noise->chaining_key, chaining_key, VS_HASH_SIZE);
	noise->counter = 0;
	vs_wipe(chaining_key, sizeof(chaining_key));
}

static void mix_key_and_hash(struct vs_noise *noise, const uint8_t psk[VS_KEY_SIZE])
{
	uint8_t chaining_key[VS_HASH_SIZE], hash[VS_HASH_SIZE];

	hkdf(noise, psk, VS_KEY_SIZE, (uint8_t *const[]){chaining_key, hash, noise->key}, 3);
	memcpy(noise->chaining_key, chaining_key, VS_HASH_SIZE);
	noise->counter = 0;
	mix_hash(noise, hash, sizeof(hash));
	vs_wipe(chaining_key, sizeof(chaining_key));
	vs_wipe(hash, sizeof(hash));
}

/* Encrypts to len + VS_SEAL_TAG bytes. */
static int encrypt_and_hash(struct vs_noise *noise, const uint8_t *plain, size_t len, uint8_t *out)
{
	struct vs_aead *aead = noise->crypto->aead_new(VS_CIPHER_CHACHA20_POLY1305, noise->key);
	struct iovec part = {(void *)plain, len};

	if (!aead)
		return -ENOMEM;
	int err = noise->crypto->aead_seal(aead, noise->counter++, noise->hash, VS_HASH_SIZE, &part, 1, out);
	noise->crypto->aead_free(aead);
	if (!err)
		mix_hash(noise, out, len + VS_SEAL_TAG);
	return err;
}

/* Decrypts len bytes, tag included. `out` must not be `data`, which is hashed afterwards. */
static int decrypt_and_hash(struct vs_noise *noise, const uint8_t *data, size_t len, uint8_t *out)
{
	struct vs_aead *aead = noise->crypto->aead_new(VS_CIPHER_CHACHA20_POLY1305, noise->key);

	if (!aead)
		return -ENOMEM;
	int err = noise->crypto->aead_open(aead, noise->counter++, noise->hash, VS_HASH_SIZE, data, len, out);
	noise->crypto->aead_free(aead);
	if (!err)
		mix_hash(noise, data, len);
	return err;
}

/* --- Tokens (section 5.3) ----------------------------------------------------------------------------------------- */

static int mix_dh(struct vs_noise *noise, const uint8_t private[VS_KEY_SIZE], const uint8_t public[VS_KEY_SIZE])
{
	uint8_t shared[VS_KEY_SIZE];
	int err = noise->crypto->x25519(shared, private, public);

	if (!err)
		mix_key(noise, shared);
	vs_wipe(shared, sizeof(shared));
	return err;
}

/* Handshakes with a pre-shared key also mix ephemeral keys into the chaining key (section 9.2). */
static void mix_ephemeral(struct vs_noise *noise, const uint8_t public[VS_KEY_SIZE])
{
	mix_hash(noise, public, VS_KEY_SIZE);
	if (noise->pattern == VS_NOISE_IKPSK2)
		mix_key(noise, public);
}

static int write_ephemeral(struct vs_noise *noise, const uint8_t private[VS_KEY_SIZE], uint8_t out[VS_KEY_SIZE])
{
	int err = noise->crypto->x25519_public(out, private);

	if (err)
		return err;
	memcpy(noise->ephemeral_private, private, VS_KEY_SIZE);
	mix_ephemeral(noise, out);
	return 0;
}

static void read_ephemeral(struct vs_noise *noise, const uint8_t in[VS_KEY_SIZE])
{
	memcpy(noise->remote_ephemeral, in, VS_KEY_SIZE);
	mix_ephemeral(noise, in);
}

/* --- Messages: IK is <- s ... -> e, es, s, ss <- e, ee, se; IKpsk2 ends with psk ---------------------------------- */

void vs_noise_init(struct vs_noise *noise, const struct vs_crypto *crypto, enum vs_noise_pattern pattern,
		   const void *prologue, size_t prologue_len, const uint8_t static_private[VS_KEY_SIZE],
		   const uint8_t static_public[VS_KEY_SIZE], const uint8_t *remote_static)
{
	const char *name = pattern == VS_NOISE_IKPSK2 ? "Noise_IKpsk2_25519_ChaChaPoly_SHA256"
						      : "Noise_IK_25519_ChaChaPoly_SHA256";
	struct iovec part = {(void *)name, strlen(name)};

	*noise = (struct vs_noise){ .crypto = crypto, .pattern = pattern };
	memcpy(noise->static_private, static_private, VS_KEY_SIZE);
	memcpy(noise->static_public, static_public, VS_KEY_SIZE);
	if (remote_static)
		memcpy(noise->remote_static, remote_static, VS_KEY_SIZE);

	/* A name that fits is padded with zeros, a longer one is hashed. */
	if (part.iov_len <= VS_HASH_SIZE)
		memcpy(noise->hash, name, part.iov_len);
	else
		crypto->sha256(noise->hash, &part, 1);
	memcpy(noise->chaining_key, noise->hash, VS_HASH_SIZE);
	mix_hash(noise, prologue, prologue_len);
	mix_hash(noise, remote_static ? remote_static : static_public, VS_KEY_SIZE);
}

int vs_noise_write_initiation(struct vs_noise *noise, const uint8_t ephemeral[VS_KEY_SIZE], const uint8_t *payload,
			      size_t len, uint8_t *out)
{
	int err = write_ephemeral(noise, ephemeral, out);

	out += VS_KEY_SIZE;
	if (!err)
		err = mix_dh(noise, noise->ephemeral_private, noise->remote_static);
	if (!err)
		err = encrypt_and_hash(noise, noise->static_public, VS_KEY_SIZE, out);
	out += VS_KEY_SIZE + VS_SEAL_TAG;
	if (!err)
		err = mix_dh(noise, noise->static_private, noise->remote_static);
	if (!err)
		err = encrypt_and_hash(noise, payload, len, out);
	return err;
}

int vs_noise_read_initiation(struct vs_noise *noise, const uint8_t *message, size_t len, uint8_t *payload)
{
	const size_t sealed_static = VS_KEY_SIZE + VS_SEAL_TAG;

	if (len < VS_NOISE_INITIATION_OVERHEAD)
		return -EBADMSG;
	read_ephemeral(noise, message);
	message += VS_KEY_SIZE;
	len -= VS_KEY_SIZE;
	int err = mix_dh(noise, noise->static_private, noise->remote_ephemeral);
	if (!err)
		err = decrypt_and_hash(noise, message, sealed_static, noise->remote_static);
	if (!err)
		err = mix_dh(noise, noise->static_private, noise->remote_static);
	if (!err)
		err = decrypt_and_hash(noise, message + sealed_static, len - sealed_static, payload);
	return err;
}

int vs_noise_write_response(struct vs_noise *noise, const uint8_t ephemeral[VS_KEY_SIZE], const uint8_t *psk,
			    const uint8_t *payload, size_t len, uint8_t *out)
{
	int err = write_ephemeral(noise, ephemeral, out);

	if (!err)
		err = mix_dh(noise, noise->ephemeral_private, noise->remote_ephemeral);
	if (!err)
		err = mix_dh(noise, noise->ephemeral_private, noise->remote_static);
	if (err)
		return err;
	if (noise->pattern == VS_NOISE_IKPSK2)
		mix_key_and_hash(noise, psk);
	return encrypt_and_hash(noise, payload, len, out + VS_KEY_SIZE);
}

int vs_noise_read_response(struct vs_noise *noise, const uint8_t *psk, const uint8_t *message, size_t len,
			   uint8_t *payload)
{
	if (len < VS_NOISE_RESPONSE_OVERHEAD)
		return -EBADMSG;
	read_ephemeral(noise, message);
	int err = mix_dh(noise, noise->ephemeral_private, noise->remote_ephemeral);
	if (!err)
		err = mix_dh(noise, noise->static_private, noise->remote_ephemeral);
	if (err)
		return err;
	if (noise->pattern == VS_NOISE_IKPSK2)
		mix_key_and_hash(noise, psk);
	return decrypt_and_hash(noise, message + VS_KEY_SIZE, len - VS_KEY_SIZE, payload);
}

void vs_noise_split(const struct vs_noise *noise, uint8_t initiator_key[VS_KEY_SIZE],
		    uint8_t responder_key[VS_KEY_SIZE])
{
	hkdf(noise, NULL, 0, (uint8_t *const[]){initiator_key, responder_key}, 2);
}
