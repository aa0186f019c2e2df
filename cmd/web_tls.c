/* web_tls.c - `weft web`: certificates and keys, from the options to a context. */
#include "web.h"

#include "cmd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A warning alone: some keep the key in a group's hands for good reasons. */
static void look_at_mode(const char *key)
{
    struct stat st;
    if (stat(key, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & S_IRWXO) != 0)
        fprintf(stderr,
                WEB_COMMAND ": warning: the key '%s' is open to every user of this machine (chmod o= is the remedy)\n",
                key);
}

static pid_t opener; /* one process tells of it, for all */

int web_tls_open(weft_tls **tls, const cmd_texts *certificates, const cmd_texts *keys)
{
    weft_tls_certificate more[sizeof certificates->text / sizeof certificates->text[0]];
    char error[300] = "";
    *tls = NULL;
    opener = getpid();
    if (certificates->count == 0 && keys->count == 0)
        return CMD_OK;
    if (certificates->count == 0)
        return cmd_usage(WEB_COMMAND, "--tls-key needs --tls-cert, the certificate that it is the key of");
    if (keys->count != 0 && keys->count != certificates->count)
        return cmd_usage(WEB_COMMAND,
                         "there are %u --tls-cert and %u --tls-key; give each certificate its key, in the same order",
                         certificates->count, keys->count);
    for (unsigned i = 0; i < certificates->count; i++)
        more[i] =
            (weft_tls_certificate){.certificate = certificates->text[i], .key = keys->count > 0 ? keys->text[i] : NULL};
    int err = weft_tls_new(tls, WEFT_TLS_SERVER,
                           &(weft_tls_options){.certificate = more[0].certificate,
                                               .key = more[0].key,
                                               .more = more + 1,
                                               .more_count = certificates->count - 1,
                                               .alpn = "http/1.1",
                                               .error = error,
                                               .error_size = sizeof error});
    if (err == -EOPNOTSUPP)
        return cmd_usage(WEB_COMMAND, "--tls-cert: this weft was built without TLS (OpenSSL)");
    if (err == -ELIBACC)
        return cmd_usage(WEB_COMMAND, "--tls-cert: OpenSSL, which TLS needs, is not there: %s", error);
    if (err < 0)
        return cmd_usage(WEB_COMMAND, "the certificate or its key cannot be used: %s%s",
                         error[0] != 0 ? error : weft_strerror(err),
                         keys->count == 0 && strstr(error, "no private key") != NULL
                             ? "; --tls-key names the file of the key, if it is not in that of the certificate"
                             : "");
    for (unsigned i = 0; i < certificates->count; i++)
        look_at_mode(more[i].key != NULL ? more[i].key : more[i].certificate);
    return CMD_OK;
}

void web_tls_reload(weft_tls *tls)
{
    char error[300] = "";
    int err = weft_tls_reload(tls, error, sizeof error);
    if (err < 0 && getpid() == opener)
        cmd_say(WEB_COMMAND ": the certificate cannot be read anew: %s; going on with the old\n",
                error[0] != 0 ? error : weft_strerror(err));
}
