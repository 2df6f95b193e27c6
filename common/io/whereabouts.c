#include "io/whereabouts.h"

#include <errno.h>
#include <stdlib.h>

struct departure {
	struct vs_conn name; /* the addresses only */
	struct vs_list age;
	unsigned worker;
};

void vs_whereabouts_init(struct vs_whereabouts *where)
{
	vs_conntable_init(&where->table);
	vs_list_init(&where->ages);
}

static void forget(struct vs_whereabouts *where, struct departure *departure)
{
	vs_conntable_remove(&where->table, &departure->name);
	vs_list_remove(&departure->age);
	free(departure);
}

static struct departure *oldest(const struct vs_whereabouts *where)
{
	return VS_LIST_FIRST(&where->ages, struct departure, age);
}

void vs_whereabouts_fini(struct vs_whereabouts *where)
{
	while (oldest(where))
		forget(where, oldest(where));
}

static struct departure *find(const struct vs_whereabouts *where, const struct vs_addr *peer,
			      const struct vs_addr *local)
{
	struct vs_conn *name = vs_conntable_find(&where->table, peer, local);

	return name ? VS_CONTAINER_OF(name, struct departure, name) : NULL;
}

int vs_whereabouts_note(struct vs_whereabouts *where, const struct vs_conn *conn, unsigned worker)
{
	struct departure *departure = find(where, &conn->peer, &conn->local);

	if (departure)
		forget(where, departure);
	else if (where->table.count == VS_CONNTABLE_MAX)
		forget(where, oldest(where));
	departure = calloc(1, sizeof(*departure));
	if (!departure)
		return -ENOMEM;
	vs_conn_init(&departure->name, conn->kind, &conn->peer, &conn->local, NULL);
	departure->worker = worker;
	vs_list_append(&where->ages, &departure->age);
	return vs_conntable_insert(&where->table, &departure->name);
}

bool vs_whereabouts_find(const struct vs_whereabouts *where, const struct vs_addr *peer, const struct vs_addr *local,
			 unsigned *worker)
{
	const struct departure *departure = find(where, peer, local);

	if (departure)
		*worker = departure->worker;
	return departure;
}
