/* Tickets and early data in virtual time: what they save, who may use them, and how often. */
#include "net/net_pipe.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define ONE_WAY (5 * STOQ_MS)
#define KEPT_MAX 8

/* What the ends saw, and the first packets of a, kept to be sent again. */
struct seen {
    stoq_ns dialled_at;
    int asked; /* streams whose data b was given */
    int early; /* of those, early ones */
    stoq_ns asked_at;
    int answered;
    stoq_ns answered_at;
    int closed_streams; /* of a */
    bool keep;
    int kept;
    struct {
        size_t n;
        uint8_t p[NET_DATAGRAM_BYTES];
    } packet[KEPT_MAX];
};

static void on_data(void *user, stoq_net_conn conn, stoq_net_stream stream, struct stoq_span bytes,
                    bool fin)
{
    struct pipe_end *e = user;
    struct seen *s = e->pipe->test;
    (void)fin;
    stoq_net_consumed(e->net, conn, stream, bytes.n);
    if (e == &e->pipe->b) {
        s->asked++;
        s->early += stoq_net_stream_early(e->net, conn, stream);
        s->asked_at = e->pipe->now;
        assert_int_equal(stoq_net_write_copy(e->net, conn, stream, stoq_span_str("answer"), true),
                         STOQ_OK);
    } else {
        s->answered++;
        s->answered_at = e->pipe->now;
    }
}

static void on_stream_closed(void *user, stoq_net_conn conn, stoq_net_stream stream, uint64_t code)
{
    struct pipe_end *e = user;
    struct seen *s = e->pipe->test;
    (void)conn;
    (void)stream;
    (void)code;
    s->closed_streams += e == &e->pipe->a;
}

static int fate(struct net_pipe *p, bool to_b, struct pipe_fate *f)
{
    struct seen *s = p->test;
    f->delay[0] = ONE_WAY;
    if (to_b && s->keep && s->kept < KEPT_MAX) {
        s->packet[s->kept].n = f->n;
        memcpy(s->packet[s->kept++].p, f->p, f->n);
    }
    return f->n <= 1452;
}

static const struct stoq_net_config with_early = {
    .cb = {.data = on_data, .stream_closed = on_stream_closed},
    .early_data = true,
    .mode = STOQ_NET_KYBER1024_PURE,
};

static bool a_opened(struct net_pipe *p)
{
    return p->a.opened > 0;
}

static bool a_closed(struct net_pipe *p)
{
    return p->a.closed > 0;
}

static bool answered(struct net_pipe *p)
{
    return ((struct seen *)p->test)->answered > 0;
}

/* A first connection, from which a has its ticket, and its end. */
static void meet(struct net_pipe *p, struct seen *s, const struct stoq_net_config *a,
                 const struct stoq_net_config *b)
{
    *s = (struct seen){.kept = 0};
    pipe_init_two(p, a, b, 5);
    p->fate = fate;
    p->test = s;
    (void)pipe_dial(p);
    assert_true(pipe_run(p, a_opened, STOQ_SEC));
    (void)pipe_run(p, NULL, STOQ_SEC);
    stoq_net_close(p->a.net, p->a.conn, 0, "first visit over");
    (void)pipe_run(p, NULL, 10 * STOQ_SEC);
    p->a.opened = p->a.closed = p->b.opened = p->b.closed = 0;
}

/* Dial again and ask at once, where that may be. */
static bool ask_again(struct net_pipe *p, struct seen *s)
{
    stoq_net_stream stream;
    s->dialled_at = p->now;
    stoq_net_conn conn = pipe_dial(p);
    if (!stoq_net_early(p->a.net, conn)) {
        assert_int_equal(stoq_net_stream_open(p->a.net, conn, &stream), STOQ_NOTFOUND);
        return false;
    }
    assert_int_equal(stoq_net_stream_open(p->a.net, conn, &stream), STOQ_OK);
    assert_int_equal(stoq_net_write_copy(p->a.net, conn, stream, stoq_span_str("query"), true),
                     STOQ_OK);
    return true;
}

static void a_ticket_saves_a_round_trip(void **state)
{
    struct net_pipe p;
    struct seen s;
    (void)state;
    meet(&p, &s, &with_early, &with_early);
    assert_true(ask_again(&p, &s));
    assert_true(pipe_run(&p, answered, STOQ_SEC));
    assert_int_equal(s.asked, 1);
    assert_int_equal(s.early, 1);
    assert_int_equal(s.asked_at - s.dialled_at, ONE_WAY);
    assert_int_equal(s.answered_at - s.dialled_at, 2 * ONE_WAY);
    (void)pipe_run(&p, NULL, STOQ_SEC);
    assert_int_equal(p.a.opened, 1);
    assert_int_equal(p.b.opened, 1); /* told once, although early */
    assert_int_equal(p.a.closed + p.b.closed, 0);
    struct stoq_net_info info;
    assert_true(stoq_net_info(p.b.net, p.b.conn, &info));
    assert_string_equal(info.group, "MLKEM1024"); /* a new key exchange all the same */
    struct stoq_net_stats stats;
    stoq_net_stats(p.b.net, &stats);
    assert_int_equal(stats.early_streams, 1);
    assert_int_equal(stats.handshakes, 0);
    /* The new connection brought a new ticket; the old one is spent. */
    stoq_net_close(p.a.net, p.a.conn, 0, "first visit over");
    (void)pipe_run(&p, NULL, 10 * STOQ_SEC);
    s.answered = 0;
    assert_true(ask_again(&p, &s));
    assert_true(pipe_run(&p, answered, STOQ_SEC));
    assert_int_equal(s.early, 2);
    pipe_release(&p);
}

static void without_the_option_there_are_none(void **state)
{
    struct stoq_net_config off = with_early;
    (void)state;
    off.early_data = false;
    for (int i = 0; i < 3; i++) {
        struct net_pipe p;
        struct seen s;
        meet(&p, &s, i == 1 ? &with_early : &off, i == 2 ? &with_early : &off);
        assert_false(ask_again(&p, &s));
        assert_true(pipe_run(&p, a_opened, STOQ_SEC));
        pipe_release(&p);
    }
}

/* The same first flight again, by whoever copied it: b's owner hears nothing of it. */
static void a_replay_is_not_taken(void **state)
{
    struct net_pipe p;
    struct seen s;
    (void)state;
    meet(&p, &s, &with_early, &with_early);
    s.keep = true;
    assert_true(ask_again(&p, &s));
    assert_true(pipe_run(&p, answered, STOQ_SEC));
    s.keep = false;
    assert_true(s.kept >= 2);
    assert_int_equal(s.asked, 1);
    (void)pipe_run(&p, NULL, STOQ_SEC);
    for (int again = 0; again < 2; again++) {
        /* At once, and when b has forgotten the connection that these packets began. */
        for (int i = 0; i < s.kept; i++) {
            struct net_socket *socket = &p.b.net->listeners[0].socket;
            struct net_datagram d = {.p = s.packet[i].p,
                                     .n = s.packet[i].n,
                                     .segment = s.packet[i].n,
                                     .to = socket->local,
                                     .from = p.a.net->listeners[0].socket.local};
            d.from.port = 777;
            net_receive(p.b.net, socket, &d);
            net_flush_all(p.b.net);
        }
        (void)pipe_run(&p, NULL, 10 * STOQ_SEC);
        assert_int_equal(s.asked, 1);
        assert_int_equal(p.b.opened, 1);
        stoq_net_close(p.a.net, p.a.conn, 0, "first visit over");
        (void)pipe_run(&p, NULL, 60 * STOQ_SEC);
    }
    struct stoq_net_stats stats;
    stoq_net_stats(p.b.net, &stats);
    assert_int_equal(stats.early_streams, 1);
    pipe_release(&p);
}

/* A listener that forgot: the streams are ended, the connection opens as any other. */
static void an_unknown_ticket_costs_nothing(void **state)
{
    struct net_pipe p;
    struct seen s;
    (void)state;
    meet(&p, &s, &with_early, &with_early);
    stoq_net_free(p.b.net);
    stoq_key_free(p.b.key);
    p.b = (struct pipe_end){0};
    pipe_end_init(&p, &p.b, 2, with_early);
    assert_true(ask_again(&p, &s));
    assert_true(pipe_run(&p, a_opened, STOQ_SEC));
    assert_int_equal(s.closed_streams, 1);
    assert_int_equal(s.asked, 0);
    (void)pipe_run(&p, NULL, STOQ_SEC);
    assert_int_equal(s.asked, 0);
    stoq_net_stream stream;
    assert_int_equal(stoq_net_stream_open(p.a.net, p.a.conn, &stream), STOQ_OK);
    assert_int_equal(stoq_net_write_copy(p.a.net, p.a.conn, stream, stoq_span_str("query"), true),
                     STOQ_OK);
    assert_true(pipe_run(&p, answered, STOQ_SEC));
    assert_int_equal(s.early, 0);
    struct stoq_net_stats stats;
    stoq_net_stats(p.a.net, &stats);
    assert_int_equal(stats.early_rejected, 1);
    pipe_release(&p);
}

/* b's ticket, and a dial pinned to somebody else. */
static void another_key_is_refused(void **state)
{
    (void)state;
    for (int careless = 0; careless < 2; careless++) {
        struct net_pipe p;
        struct seen s;
        stoq_net_conn conn;
        meet(&p, &s, &with_early, &with_early);
        struct stoq_peer_id pin = stoq_key_peer_id(p.a.key);
        struct stoq_net_dial dial = {.addr = p.b.net->listeners[0].socket.local, .pin = &pin};
        struct net_ticket *ticket = NULL;
        for (size_t i = 0; i < NET_TICKETS_MAX; i++) {
            ticket = p.a.net->tickets.v[i].session != NULL ? &p.a.net->tickets.v[i] : ticket;
        }
        assert_non_null(ticket);
        if (careless == 0) {
            ticket->peer = pin; /* as if the table had mixed them up */
        }
        assert_int_equal(stoq_net_dial(p.a.net, &dial, &conn), STOQ_OK);
        assert_false(stoq_net_early(p.a.net, conn)); /* nothing is sent under it */
        if (careless == 1) {
            /* As if nothing had been compared before: the handshake resumes, and TLS asks nobody. */
            struct net_conn *c = net_conn_find(p.a.net, conn);
            assert_int_equal(SSL_set_session(c->ssl, ticket->session), 1);
        }
        assert_true(pipe_run(&p, a_closed, 10 * STOQ_SEC));
        assert_int_equal(p.a.why, STOQ_NET_WRONG_KEY);
        assert_int_equal(p.a.opened, 0);
        assert_int_equal(s.asked, 0);
        pipe_release(&p);
    }
}

/* The listener knows the dialler by the key that the ticket was made with. */
static void a_ticket_tells_who_resumes(void **state)
{
    struct net_pipe p;
    struct seen s;
    (void)state;
    meet(&p, &s, &with_early, &with_early);
    assert_true(ask_again(&p, &s));
    assert_true(pipe_run(&p, answered, STOQ_SEC));
    struct stoq_net_info info;
    struct stoq_peer_id id = stoq_key_peer_id(p.a.key);
    assert_true(stoq_net_info(p.b.net, p.b.conn, &info));
    assert_true(stoq_hash_eq(&info.peer.h, &id.h));
    pipe_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ticket_saves_a_round_trip),
        cmocka_unit_test(without_the_option_there_are_none),
        cmocka_unit_test(a_replay_is_not_taken),
        cmocka_unit_test(an_unknown_ticket_costs_nothing),
        cmocka_unit_test(another_key_is_refused),
        cmocka_unit_test(a_ticket_tells_who_resumes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
