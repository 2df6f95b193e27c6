/* Everything that reads a foreign handshake message, with real keys. The first byte of the input chooses how deep the
 * rest goes in:
 *   0  raw into the responder                  4  TLVs of an offer that a known client encrypted
 *   1  the same with a good mac1               5  TLVs of params that the server encrypted
 *   2  raw into an initiator that waits        6  TLVs of both into their decoders
 *   3  the same with a good header and mac1
 * Invariants: nobody unknown is accepted; no answer is longer than its question; the server's true answer is taken
 * after whatever came before; what decodes encodes to the same again. */
#include <stdlib.h>
#include <string.h>

#include "../unit/handshake_util.h"

#define PAYLOAD_MAX 900

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
	if (!ok)
		abort();
}

static struct pair *new_pair(void)
{
	static struct pair p;
	static bool initialised;

	if (!initialised)
		require(!vs_crypto_init());
	initialised = true;
	require(pair_init(&p, vs_crypto_default(), vs_crypto_default()));
	return &p;
}

/* --- Into the responder ------------------------------------------------------------------------------------------- */

static void feed_server(struct pair *p, const uint8_t *data, size_t size, bool good_mac1)
{
	struct vs_handshake_job job;
	struct vs_responder_result result;
	uint8_t datagram[VS_HANDSHAKE_MAX + 1] = { 0 }, key[VS_HASH_SIZE];

	size = VS_MIN(size, sizeof(datagram));
	memcpy(datagram, data, size);
	if (good_mac1) {
		size = VS_MAX(size, (size_t)VS_INITIATION_SIZE);
		datagram[0] = VS_TYPE_INITIATION;
		vs_mac1_key(p->crypto, vs_responder_public_key(p->server), key);
		vs_macs_append(p->crypto, key, NULL, datagram, size - 2 * VS_MAC_SIZE);
	}
	for (unsigned pending = 0; pending < 64; pending += 40) {
		enum vs_responder_event event = server_read(p, datagram, size, pending, &job, &result);
		require(event == VS_RESPONDER_DROPPED || (event == VS_RESPONDER_COOKIE && good_mac1));
		require(event != VS_RESPONDER_COOKIE || VS_COOKIE_REPLY_SIZE < size);
	}
}

/* An initiation of a known client with any payload. */
static void feed_offer(struct pair *p, const uint8_t *data, size_t size)
{
	struct vs_handshake_job job;
	struct vs_responder_result result;
	struct vs_policy policy = vs_policy_default();
	struct vs_noise noise;
	uint8_t payload[PAYLOAD_MAX] = { 0 }, datagram[VS_HANDSHAKE_MAX] = {VS_TYPE_INITIATION}, key[VS_HASH_SIZE];
	uint8_t ephemeral[VS_KEY_SIZE] = {1};

	size = VS_MIN(size, sizeof(payload));
	memcpy(payload, data, size);
	size = VS_MAX(size, (size_t)256);
	vs_noise_init(&noise, p->crypto, VS_NOISE_IKPSK2, VS_PROLOGUE, strlen(VS_PROLOGUE),
		      p->client_config.private_key, p->client_key, p->client_config.server_key);
	require(!vs_noise_write_initiation(&noise, ephemeral, payload, size, datagram + VS_INITIATION_HEADER));
	vs_mac1_key(p->crypto, p->client_config.server_key, key);
	size_t len = vs_macs_append(p->crypto, key, NULL, datagram,
				    VS_INITIATION_HEADER + VS_NOISE_INITIATION_OVERHEAD + size);

	enum vs_responder_event event = server_read(p, datagram, len, 0, &job, &result);
	if (event != VS_RESPONDER_ACCEPT)
		return;
	require(result.user == PEER_USER && strlen(job.offer.program) <= VS_PROGRAM_MAX);
	event = server_answer(p, &job, &policy, 1, &result);
	require(event != VS_RESPONDER_SESSION || job.len <= len);
}

/* --- Into the initiator ------------------------------------------------------------------------------------------- */

/* Sends an initiation and prepares the server's answer to it. */
static void begin(struct pair *p, struct vs_handshake_job *initiation, struct vs_handshake_job *accepted)
{
	struct vs_responder_result result;

	vs_initiator_start(p->client, p->now);
	require(client_output(p, initiation));
	require(server_read(p, initiation->datagram, initiation->len, 0, accepted, &result) == VS_RESPONDER_ACCEPT);
}

static void require_true_answer(struct pair *p, struct vs_handshake_job *accepted)
{
	struct vs_responder_result result;
	struct vs_initiator_result client_result;
	struct vs_policy policy = vs_policy_default();

	require(server_answer(p, accepted, &policy, 1, &result) == VS_RESPONDER_SESSION);
	require(client_read(p, accepted->datagram, accepted->len, &client_result) == VS_INITIATOR_SESSION);
	require(!memcmp(client_result.keys.send, result.keys.recv, VS_KEY_SIZE));
}

static void feed_client(struct pair *p, const uint8_t *data, size_t size, bool good_header)
{
	struct vs_handshake_job initiation, accepted;
	struct vs_initiator_result result;
	uint8_t datagram[VS_HANDSHAKE_MAX] = { 0 }, key[VS_HASH_SIZE];
	const size_t least = VS_RESPONSE_HEADER + VS_NOISE_RESPONSE_OVERHEAD + 2 * VS_MAC_SIZE;

	begin(p, &initiation, &accepted);
	size = VS_MIN(size, sizeof(datagram));
	memcpy(datagram, data, size);
	if (good_header) {
		memcpy(datagram + 1, initiation.datagram + 1, 3);
		datagram[0] = datagram[0] & 1 ? VS_TYPE_RESPONSE : VS_TYPE_COOKIE;
		size = datagram[0] == VS_TYPE_COOKIE ? VS_COOKIE_REPLY_SIZE : VS_MAX(size, least);
	}
	if (datagram[0] == VS_TYPE_RESPONSE && good_header) {
		vs_mac1_key(p->crypto, p->client_key, key);
		vs_macs_append(p->crypto, key, NULL, datagram, size - 2 * VS_MAC_SIZE);
	}
	require(client_read(p, datagram, size, &result) == VS_INITIATOR_DROPPED);
	require_true_answer(p, &accepted);
}

/* A response of the true server with any payload. */
static void feed_params(struct pair *p, const uint8_t *data, size_t size)
{
	struct vs_handshake_job initiation, accepted;
	struct vs_initiator_result result;
	uint8_t datagram[VS_HANDSHAKE_MAX] = {VS_TYPE_RESPONSE}, key[VS_HASH_SIZE], ephemeral[VS_KEY_SIZE] = {2};

	begin(p, &initiation, &accepted);
	struct vs_noise noise = accepted.noise;
	size = VS_MIN(size, (size_t)PAYLOAD_MAX);
	memcpy(datagram + 1, initiation.datagram + 1, 3);
	require(!vs_noise_write_response(&noise, ephemeral, p->client_config.psk, data, size,
					 datagram + VS_RESPONSE_HEADER));
	vs_mac1_key(p->crypto, p->client_key, key);
	size_t len = vs_macs_append(p->crypto, key, NULL, datagram,
				    VS_RESPONSE_HEADER + VS_NOISE_RESPONSE_OVERHEAD + size);

	switch (client_read(p, datagram, len, &result)) {
	case VS_INITIATOR_SESSION:
		require(vs_params_fit(&result.params, &p->client_config.offer));
		break;
	case VS_INITIATOR_REFUSED:
		require(!vs_params_fit(&result.params, &p->client_config.offer));
		require(vs_initiator_deadline(p->client) != VS_NEVER);
		break;
	default:
		require_true_answer(p, &accepted);
	}
}

/* --- TLVs --------------------------------------------------------------------------------------------------------- */

static void feed_tlvs(const uint8_t *data, size_t size)
{
	struct vs_offer offer;
	struct vs_params params;
	uint8_t first[VS_OFFER_ENCODED_MAX], second[VS_OFFER_ENCODED_MAX];

	if (!vs_offer_decode(data, size, &offer)) {
		size_t len = vs_offer_encode(&offer, first);
		require(!vs_offer_decode(first, len, &offer));
		require(vs_offer_encode(&offer, second) == len && !memcmp(first, second, len));
	}
	if (!vs_params_decode(data, size, &params)) {
		size_t len = vs_params_encode(&params, first);
		require(!vs_params_decode(first, len, &params));
		require(vs_params_encode(&params, second) == len && !memcmp(first, second, len));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	unsigned depth = data[0] % 7;
	data++;
	size--;
	if (depth == 6) {
		feed_tlvs(data, size);
		return 0;
	}

	struct pair *p = new_pair();
	if (depth < 2)
		feed_server(p, data, size, depth == 1);
	else if (depth < 4)
		feed_client(p, data, size, depth == 3);
	else if (depth == 4)
		feed_offer(p, data, size);
	else
		feed_params(p, data, size);
	pair_fini(p);
	return 0;
}
