/* end.h - waiting for the end of a child. */
#ifndef WEFT_PROCESS_END_H
#define WEFT_PROCESS_END_H

#include <weft/base.h>

/* Wait until the child of a pidfd has ended and can be reaped, without reaping it. 0, -ETIMEDOUT, -ECANCELED, or an
 * error of weft_fd_wait. */
int weft__await_end(int pidfd, weft_until until);

#endif
