/*
 * Fetch a package with libstoq alone:  fetch HOME ID PEER@ADDRESS:PORT OUTPUT
 * or publish and serve one:            fetch HOME --serve PATH     (until standard input ends)
 * Build: cc fetch.c $(pkg-config --cflags --libs stoq)
 */
#include <stoq.h>

#include <stdio.h>
#include <string.h>

static int show(void *user, const struct stoq_event *e)
{
    (void)user;
    fprintf(stderr, "\r%s: %llu of %llu bytes ", e->phase, (unsigned long long)e->bytes,
            (unsigned long long)e->bytes_total);
    return 0;
}

static int complain(const struct stoq_failure *f)
{
    fprintf(stderr, "%s: %s\n", f->code, f->message);
    return (int)f->result;
}

static int serve(const char *home, const char *path)
{
    static const char *const listen[] = {"[::1]:0"};
    struct stoq_session_options options = {.home = home, .listen = listen, .listen_count = 1};
    struct stoq_session *session;
    struct stoq_published published;
    struct stoq_failure failure;
    char contact[STOQ_CONTACT_SIZE];
    if (stoq_session_open(&session, &options, &failure) != STOQ_RESULT_OK) {
        return complain(&failure);
    }
    if (stoq_session_publish(session, path, "example", "1", &published, &failure) !=
            STOQ_RESULT_OK ||
        stoq_session_contact(session, contact) != STOQ_RESULT_OK) {
        stoq_session_close(session);
        return complain(&failure);
    }
    printf("%s %s\n", published.id, contact);
    fflush(stdout);
    while (getchar() != EOF) {
    }
    stoq_session_close(session);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[2], "--serve") == 0) {
        return serve(argv[1], argv[3]);
    }
    if (argc != 5) {
        fprintf(stderr, "usage: fetch HOME ID PEER@ADDRESS:PORT OUTPUT\n"
                        "       fetch HOME --serve PATH\n");
        return STOQ_RESULT_USAGE;
    }
    struct stoq_session_options options = {.home = argv[1], .on_event = show};
    struct stoq_session *session;
    struct stoq_fetched got;
    struct stoq_verified verified;
    struct stoq_failure failure;
    const char *source = argv[3];
    if (stoq_session_open(&session, &options, &failure) != STOQ_RESULT_OK) {
        return complain(&failure);
    }
    enum stoq_result r = stoq_session_fetch(session, argv[2], &source, 1, argv[4], &got, &failure);
    if (r == STOQ_RESULT_OK) {
        r = stoq_session_verify(session, argv[2], &verified, &failure);
    }
    stoq_session_close(session);
    if (r != STOQ_RESULT_OK) {
        return complain(&failure);
    }
    printf("%llu bytes, %llu from the peer, %.2f s, signed by %s\n", (unsigned long long)got.bytes,
           (unsigned long long)got.bytes_from_peers, got.seconds, got.signed_by);
    return 0;
}
