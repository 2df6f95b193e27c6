/* An intrusive, circular, doubly linked list: O(1) insertion and removal without allocation. A head that points at
 * itself is an empty list; a node that points at itself is on no list, so removing it twice is harmless. */
#ifndef VS_BASE_LIST_H
#define VS_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"

struct vs_list {
	struct vs_list *prev, *next;
};

static inline void vs_list_init(struct vs_list *l)
{
	l->prev = l->next = l;
}

static inline bool vs_list_empty(const struct vs_list *l)
{
	return l->next == l;
}

static inline void vs_list_append(struct vs_list *head, struct vs_list *node)
{
	node->prev = head->prev;
	node->next = head;
	head->prev->next = node;
	head->prev = node;
}

static inline void vs_list_prepend(struct vs_list *head, struct vs_list *node)
{
	vs_list_append(head->next, node);
}

static inline void vs_list_remove(struct vs_list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	vs_list_init(node);
}

/* Moves every node of `from` to the end of `to`; `from` is empty afterwards. */
static inline void vs_list_splice(struct vs_list *to, struct vs_list *from)
{
	if (vs_list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	vs_list_init(from);
}

#define VS_LIST_FIRST(head, type, member) \
	(vs_list_empty(head) ? NULL : VS_CONTAINER_OF((head)->next, type, member))

/* The body may remove (and free) `it`, but no other node. */
#define VS_LIST_FOREACH(head, it, type, member)                                                       \
	for (struct vs_list *vs_node_ = (head)->next, *vs_next_ = vs_node_->next;                     \
	     vs_node_ != (head) && ((it) = VS_CONTAINER_OF(vs_node_, type, member), 1);               \
	     vs_node_ = vs_next_, vs_next_ = vs_node_->next)

#endif
