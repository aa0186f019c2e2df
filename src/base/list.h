/* list.h - an intrusive, circular, doubly linked list. A head is an empty ring of one; a node that is on no list is
 * either a ring of itself (list_init) or garbage, by its owner's choice. No function allocates, waits or fails. */
#ifndef WEFT_BASE_LIST_H
#define WEFT_BASE_LIST_H

#include "base/compiler.h"

#include <stdbool.h>

typedef struct weft__list {
    struct weft__list *next, *prev;
} weft__list;

static inline void list_init(weft__list *l)
{
    l->next = l->prev = l;
}

static inline bool list_empty(const weft__list *l)
{
    return l->next == l;
}

static inline void list_insert_between(weft__list *node, weft__list *prev, weft__list *next)
{
    node->prev = prev;
    node->next = next;
    prev->next = node;
    next->prev = node;
}

static inline void list_push_back(weft__list *head, weft__list *node)
{
    list_insert_between(node, head->prev, head);
}

static inline void list_push_front(weft__list *head, weft__list *node)
{
    list_insert_between(node, head, head->next);
}

/* Takes the node out; it is a ring of itself afterwards, so a second removal is harmless. */
static inline void list_remove(weft__list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* Takes the first node out and returns it; NULL when the list is empty. */
static inline weft__list *list_pop_front(weft__list *head)
{
    weft__list *node = head->next;
    if (node == head)
        return NULL;
    list_remove(node);
    return node;
}

/* Moves all nodes of `from` to `to`, whatever that was before: for a round over those that are there now. */
static inline void list_take_all(weft__list *to, weft__list *from)
{
    if (list_empty(from)) {
        list_init(to);
        return;
    }
    *to = *from;
    to->next->prev = to->prev->next = to;
    list_init(from);
}

#define list_each(it, head) for (weft__list *it = (head)->next; it != (head); it = it->next)
#define list_each_safe(it, head)                                                                                       \
    for (weft__list *it = (head)->next, *it##_next = it->next; it != (head); it = it##_next, it##_next = it->next)

#endif
