/* web.h - `weft web`: what its files share. */
#ifndef WEB_H
#define WEB_H

#include "cmd.h"

#include <weft/tls.h>

#define WEB_COMMAND "weft web"

/* CMD_OK and a context, NULL when none is asked for; or CMD_USAGE after a line on standard error. */
int web_tls_open(weft_tls **tls, const cmd_texts *certificates, const cmd_texts *keys);

/* Read the files anew, in this process; a line on standard error if they are of no use. */
void web_tls_reload(weft_tls *tls);

/* A warning for each directory in this one that is called like a host and that --hosts serves nobody. */
void web_hosts_warn(const char *directory);

#endif
