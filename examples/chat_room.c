/* chat_room.c - a chat room over UDP (群聊聊天室). The server knows everybody's name and address and passes on what is
 * said; a client listens in a thread of its own while the person types.
 *
 *     L name            enter; OK, or Fail when the name is taken
 *     C name text       say something to all others
 *     Q name            leave
 *
 * Who runs the server is its administrator: what he types there is announced to all. Run as it is, Lily and Tom meet:
 * "..." in what they type is waiting for the next line. */
#include "lesson.h"

#include <weft/datagram.h>

enum {
    USERS = 64,
    NAME_MAX_BYTES = 64
};

#define WAIT "..."

/* ---- server ---- */

typedef struct user {
    char name[NAME_MAX_BYTES]; /* "": nobody */
    weft_address address;
} user;

static user users[USERS];
static weft_lock room = WEFT_LOCK_INIT; /* around users: two threads use them */

static user *find(const char *name)
{
    for (int i = 0; i < USERS; i++)
        if (strcmp(users[i].name, name) == 0)
            return &users[i];
    return NULL;
}

static void tell_others(weft_datagram *d, const user *but, const char *text)
{
    for (int i = 0; i < USERS; i++)
        if (users[i].name[0] != 0 && &users[i] != but)
            weft_datagram_send(d, text, strlen(text), &users[i].address, WEFT_FOREVER);
}

static void enter(weft_datagram *d, const char *name, const weft_address *from)
{
    char text[NAME_MAX_BYTES + 64];
    user *u = find(name) == NULL ? find("") : NULL;
    weft_datagram_send(d, u != NULL ? "OK" : "Fail", u != NULL ? 2 : 4, from, WEFT_FOREVER);
    if (u == NULL)
        return; /* the name is taken, or the room is full */
    snprintf(u->name, sizeof u->name, "%.63s", name);
    u->address = *from;
    snprintf(text, sizeof text, "欢迎 %.63s 进入聊天室", name);
    tell_others(d, u, text);
}

static void announce(weft_datagram *d, const char *said)
{
    char text[1200];
    snprintf(text, sizeof text, "管理员消息： %s", said);
    weft_lock_acquire(&room);
    tell_others(d, NULL, text);
    weft_lock_release(&room);
}

/* The administrator, in a thread of his own. */
static int administer(void *socket)
{
    for (const char *said; *(said = lesson_input("管理员消息:")) != 0;)
        announce(socket, said);
    return 0;
}

/* Only who entered under a name may speak or leave under it; what is malformed is not answered. */
static void handle(weft_datagram *d, char *message, const weft_address *from)
{
    char *name = message + 2, *end = name + strcspn(name, " "), text[1200];
    const char *said = *end != 0 ? end + 1 : end;
    for (char *p = message; *p != 0; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?'; /* what one types cannot steer the terminals of the others */
    if (strchr("LCQ", message[0]) == NULL || message[0] == 0 || message[1] != ' ' || end == name)
        return;
    *end = 0;
    if (strlen(name) >= NAME_MAX_BYTES)
        return;
    user *u = find(name);
    if (message[0] == 'L') {
        enter(d, name, from);
    } else if (u != NULL && weft_address_equal(&u->address, from)) {
        snprintf(text, sizeof text, message[0] == 'C' ? "%s : %s" : "%s 退出聊天室", name, said);
        tell_others(d, u, text);
        if (message[0] == 'Q')
            u->name[0] = 0;
    }
}

static int server(void *socket)
{
    static weft_thread administrator; /* waits for input, also when the server has ended */
    char message[1024];
    weft_address from;
    ssize_t n;
    if (lesson_value("--server") != NULL)
        must(weft_thread_start(&administrator, administer, socket, &(weft_thread_options){.daemon = 1}));
    while ((n = weft_datagram_recv(socket, message, sizeof message - 1, &from, WEFT_FOREVER)) >= 0 || n == -EMSGSIZE) {
        message[n >= 0 ? n : 0] = 0;
        weft_lock_acquire(&room);
        handle(socket, message, &from);
        bool both = lesson_value("--server") == NULL && strncmp(message, "L Tom", 5) == 0;
        weft_lock_release(&room);
        if (both) /* nobody is there to type it */
            announce(socket, "请文明发言");
    }
    return 0;
}

/* ---- client ---- */

static weft_sem heard; /* counts the lines that came */

static int listen_to_others(void *socket)
{
    char text[4096];
    ssize_t n;
    while ((n = weft_datagram_recv(socket, text, sizeof text, NULL, WEFT_FOREVER)) >= 0 || n == -EMSGSIZE) {
        printf("%.*s\n", n >= 0 ? (int)n : (int)sizeof text, text); /* what is beyond the room is lost */
        weft_sem_release(&heard, 1);
    }
    return 0;
}

static void say(weft_datagram *d, const char *what, const char *name, const char *text)
{
    char message[1200];
    int n = snprintf(message, sizeof message, "%s %s%s%s", what, name, *text != 0 ? " " : "", text);
    must((int)weft_datagram_send(d, message, (size_t)n, NULL, WEFT_FOREVER));
}

static int enter_as(weft_datagram *d, const char *name)
{
    char answer[1024];
    say(d, "L", name, "");
    int n = must((int)weft_datagram_recv(d, answer, sizeof answer, NULL, WEFT_FOREVER));
    bool good = n == 2 && memcmp(answer, "OK", 2) == 0;
    puts(good ? "进入聊天室" : "该用户已存在");
    return good;
}

static const char *next_line(void)
{
    while (lesson_typed != NULL && *lesson_typed != NULL && strcmp(*lesson_typed, WAIT) == 0) {
        weft_sem_acquire(&heard, WEFT_FOREVER);
        lesson_typed++;
    }
    return lesson_input("发言:");
}

static int chat(unsigned port, void (*entered)(unsigned port))
{
    weft_thread listener = WEFT_THREAD_INIT;
    weft_datagram *d;
    char name[NAME_MAX_BYTES];
    weft_sem_init(&heard, 0, 0);
    must(weft_udp_connect(&d, NULL, port, NULL));
    do {
        snprintf(name, sizeof name, "%.63s", lesson_input("Name:"));
        if (name[0] == 0)
            goto leave;
    } while (!enter_as(d, name));
    must(weft_thread_start(&listener, listen_to_others, d, NULL));
    if (entered != NULL)
        entered(port);
    for (const char *text; *(text = next_line()) != 0 && strcmp(text, "quit") != 0;)
        say(d, "C", name, text);
    say(d, "Q", name, "");
    weft_thread_cancel(&listener);
    must(weft_thread_join(&listener, NULL, WEFT_FOREVER));
leave:
    weft_datagram_close(d);
    puts("您已退出聊天室");
    return 0;
}

/* ---- Lily and Tom ---- */

static weft_process tom;

static int be_tom(void *port)
{
    static const char *const typed[] = {"Lily", "Tom", WAIT, WAIT, "你好 Lily", "quit", NULL};
    lesson_typed = typed;
    return chat(*(unsigned *)port, NULL);
}

static void invite_tom(unsigned port)
{
    must(weft_process_start(&tom, be_tom, &port, NULL));
}

static int client(unsigned port)
{
    if (lesson_typed == NULL)
        return chat(port, NULL);
    int failed = chat(port, invite_tom), code = 1;
    must(weft_process_join(&tom, &code, WEFT_FOREVER));
    weft_process_close(&tom);
    return failed != 0 || code != 0;
}

int main(int argc, char **argv)
{
    static const char *const typed[] = {"Lily", WAIT, WAIT, "你好 Tom", WAIT, WAIT, "quit", NULL};
    weft_datagram *d = NULL;
    lesson_begin(argc, argv);
    if (lesson_value("--client") == NULL)
        must(weft_udp_open(&d, NULL, lesson_port("--server"), NULL));
    lesson_pair p = {server, d, client, NULL};
    int failed = lesson_run(&p, d != NULL ? weft_datagram_port(d) : 0, typed);
    weft_datagram_close(d);
    return failed;
}
