#include "io/conn.h"

#include <errno.h>

void vs_conn_init(struct vs_conn *conn, enum vs_carrier_kind kind, const struct vs_addr *peer,
		  const struct vs_addr *local, void (*free)(struct vs_conn *conn))
{
	conn->kind = kind;
	conn->peer = *peer;
	conn->local = *local;
	conn->free = free;
	vs_list_init(&conn->bucket);
	vs_list_init(&conn->sibling);
	conn->owner = NULL;
	conn->idle_usec = 0;
}

/* The hash needs no key: who wants to fill a bucket has to hold its connections open, of which a carrier takes only
 * those that belong to members (or, unverified, very few). */
static uint32_t bucket_of(const struct vs_addr *peer, const struct vs_addr *local)
{
	uint8_t key[2 * VS_ADDR_KEY_SIZE];
	uint32_t hash = UINT32_C(2166136261); /* FNV-1a */
	vs_addr_key(peer, key);
	vs_addr_key(local, key + VS_ADDR_KEY_SIZE);
	for (size_t i = 0; i < sizeof(key); i++)
		hash = (hash ^ key[i]) * UINT32_C(16777619);
	return (hash ^ hash >> 16) % VS_CONNTABLE_BUCKETS;
}

void vs_conntable_init(struct vs_conntable *table)
{
	table->count = 0;
	for (size_t i = 0; i < VS_CONNTABLE_BUCKETS; i++)
		vs_list_init(&table->buckets[i]);
}

int vs_conntable_insert(struct vs_conntable *table, struct vs_conn *conn)
{
	if (vs_conntable_find(table, &conn->peer, &conn->local))
		return -EEXIST;
	if (table->count == VS_CONNTABLE_MAX)
		return -ENOBUFS;
	vs_list_append(&table->buckets[bucket_of(&conn->peer, &conn->local)], &conn->bucket);
	table->count++;
	return 0;
}

void vs_conntable_remove(struct vs_conntable *table, struct vs_conn *conn)
{
	if (vs_list_empty(&conn->bucket))
		return;
	vs_list_remove(&conn->bucket);
	table->count--;
}

struct vs_conn *vs_conntable_find(const struct vs_conntable *table, const struct vs_addr *peer,
				  const struct vs_addr *local)
{
	const struct vs_list *bucket = &table->buckets[bucket_of(peer, local)];
	struct vs_conn *conn;
	VS_LIST_FOREACH(bucket, conn, struct vs_conn, bucket)
		if (vs_conn_is(conn, peer, local))
			return conn;
	return NULL;
}

struct vs_conn *vs_conntable_take_any(struct vs_conntable *table)
{
	for (size_t i = 0; table->count && i < VS_CONNTABLE_BUCKETS; i++) {
		struct vs_conn *conn = VS_LIST_FIRST(&table->buckets[i], struct vs_conn, bucket);
		if (!conn)
			continue;
		vs_conntable_remove(table, conn);
		return conn;
	}
	return NULL;
}
