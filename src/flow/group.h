/* group.h - how members of other kinds than coroutines join a weft_group. */
#ifndef WEFT_FLOW_GROUP_H
#define WEFT_FLOW_GROUP_H

#include <weft/group.h>

/* In its owner's memory from its entering until it has left. */
typedef struct weft__member {
    struct weft__member *next, **link;
    weft_group *group;
    void (*cancel)(struct weft__member *m); /* ask it to stop; called under the group's lock, must not wait */
} weft__member;

/* Start a member: start(m) is called under the group's lock, so that neither a cancellation nor the member's end comes
 * between. It returns 0, and then the member must leave some time, or a negative error. Returns what start did, or
 * -ECANCELED when the group is stopping. Pre: m->cancel is set. */
int weft__group_enter(weft_group *g, weft__member *m, int (*start)(weft__member *m));

/* The member has ended, with this result. Called by the member itself, once; the group may be gone afterwards. */
void weft__group_leave(weft__member *m, int result);

#endif
