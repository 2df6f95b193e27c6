#include "io/key.h"

#include <errno.h>
#include <mbedtls/base64.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/bytes.h"
#include "link/crypto.h"

int vs_key_parse(const char *text, uint8_t out[VS_KEY_SIZE])
{
	uint8_t key[VS_KEY_SIZE + 1]; /* 44 characters without padding hold 33 bytes */
	char again[VS_KEY_TEXT_SIZE];
	size_t len = 0;
	int err = -EINVAL;

	if (strlen(text) == VS_KEY_TEXT_SIZE - 1 &&
	    mbedtls_base64_decode(key, sizeof(key), &len, (const unsigned char *)text, VS_KEY_TEXT_SIZE - 1) == 0 &&
	    len == VS_KEY_SIZE) {
		/* The last character carries two bits that belong to no byte: only zeroes there are canonical. */
		if (strcmp(vs_key_format(key, again), text) == 0) {
			memcpy(out, key, VS_KEY_SIZE);
			err = 0;
		}
		vs_wipe(again, sizeof(again));
	}
	vs_wipe(key, sizeof(key));
	return err;
}

const char *vs_key_format(const uint8_t key[VS_KEY_SIZE], char buf[VS_KEY_TEXT_SIZE])
{
	size_t len;

	if (mbedtls_base64_encode((unsigned char *)buf, VS_KEY_TEXT_SIZE, &len, key, VS_KEY_SIZE) != 0)
		buf[0] = '\0';
	return buf;
}

int vs_key_generate_psk(uint8_t out[VS_KEY_SIZE])
{
	/* Requests of up to 256 bytes are never cut short (getrandom(2)), only interrupted before the pool is up. */
	while (getrandom(out, VS_KEY_SIZE, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

int vs_key_generate(uint8_t out[VS_KEY_SIZE])
{
	int err = vs_key_generate_psk(out);

	out[0] &= 248;
	out[31] = (uint8_t)((out[31] & 127) | 64);
	return err;
}

int vs_key_public(uint8_t out[VS_KEY_SIZE], const uint8_t private_key[VS_KEY_SIZE])
{
	return vs_crypto_default()->x25519_public(out, private_key);
}

bool vs_key_is_zero(const uint8_t key[VS_KEY_SIZE])
{
	uint8_t any = 0;

	for (size_t i = 0; i < VS_KEY_SIZE; i++)
		any |= key[i];
	return any == 0;
}

int vs_key_read(int fd, uint8_t out[VS_KEY_SIZE])
{
	char text[128];
	size_t used = 0;
	ssize_t n = 1;

	while (n != 0 && used < sizeof(text) - 1) {
		n = read(fd, text + used, sizeof(text) - 1 - used);
		if (n < 0 && errno != EINTR) {
			int err = -errno;
			vs_wipe(text, sizeof(text));
			return err;
		}
		used += n > 0 ? (size_t)n : 0;
	}
	while (used > 0 && strchr(" \t\r\n", text[used - 1]))
		used--;
	text[used] = '\0';
	int err = strlen(text) == used ? vs_key_parse(text, out) : -EINVAL;
	vs_wipe(text, sizeof(text));
	return err;
}
