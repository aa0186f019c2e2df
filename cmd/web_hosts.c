/* web_hosts.c - `weft web --hosts`: directories that look like a host's and are nobody's.
 *
 * A request's host is looked up under the one form of its name, whichever the client wrote; a directory with another
 * form of it stays without requests, and whoever made it would look for the reason elsewhere. */
#include "web.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

/* The form under which the host is looked up: in lower case, without port, without a dot at its end. False: this is no
 * host's name. */
static bool host_form(const char *name, char *form)
{
    static const char hosts[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.:[]";
    size_t n = strlen(name);
    if (name[0] == '.' || strspn(name, hosts) < n)
        return false;
    for (size_t i = 0; i <= n; i++)
        form[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] | 0x20) : name[i];
    if (name[0] == '[')
        return true; /* with colons of its own */
    n = strcspn(form, ":");
    n -= n > 0 && form[n - 1] == '.';
    form[n] = 0;
    return n > 0;
}

void web_hosts_warn(const char *directory)
{
    DIR *d = opendir(directory);
    const struct dirent *e;
    while (d != NULL && (e = readdir(d)) != NULL) {
        char form[sizeof e->d_name];
        struct stat it, served;
        if (!host_form(e->d_name, form) || strcmp(form, e->d_name) == 0)
            continue;
        if (fstatat(dirfd(d), e->d_name, &it, 0) != 0 || !S_ISDIR(it.st_mode))
            continue;
        if (fstatat(dirfd(d), form, &served, 0) != 0 || !S_ISDIR(served.st_mode))
            cmd_say(WEB_COMMAND ": warning: --hosts never serves '%s'; that host's directory would be '%s'\n",
                    e->d_name, form);
        else if (it.st_dev != served.st_dev || it.st_ino != served.st_ino) /* else a link, or cases are one there */
            cmd_say(WEB_COMMAND ": warning: --hosts serves '%s', and never '%s'\n", form, e->d_name);
    }
    if (d != NULL)
        closedir(d);
}
