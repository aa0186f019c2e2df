/* tls_self_test.c - a certificate that signs itself is one for its names, for those who trust it. */
#include "io/tls_support.h"

#include <stdlib.h>

#if WEFT_HAVE_OPENSSL

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#if OPENSSL_VERSION_MAJOR >= 3

static X509 *read_certificate(const char *text)
{
    BIO *pem = BIO_new_mem_buf(text, -1);
    X509 *x = PEM_read_bio_X509(pem, NULL, NULL, NULL);
    CHECK(x != NULL);
    BIO_free(pem);
    return x;
}

#if !WEFT_LINKED
TEST(tls_without_openssl_is_said)
{
    char certificate[WEFT_TLS_PEM_MAX], key[WEFT_TLS_PEM_MAX], error[200] = "";
    weft_tls *t = NULL;
    weft_tls_options o = {.error = error, .error_size = sizeof error};
    weft__sys_plan(WEFT__SYS_LIBRARY, 1, 2, -ELIBACC, 0);
    CHECK_ERR(-ELIBACC, weft_tls_new(&t, WEFT_TLS_CLIENT, &o));
    CHECK(strstr(error, "libssl") != NULL);
    CHECK_ERR(-ELIBACC, weft_tls_self_signed(certificate, key, "localhost"));
    weft__sys_plan_none();
    CHECK_OK(weft_tls_new(&t, WEFT_TLS_CLIENT, &o));
    weft_tls_free(t);
}
#endif

TEST(tls_self_signed_is_for_its_names)
{
    char certificate[WEFT_TLS_PEM_MAX], key[WEFT_TLS_PEM_MAX], other[WEFT_TLS_PEM_MAX];
    CHECK_OK(weft_tls_self_signed(certificate, key, "localhost,a.example,*.b.example,127.0.0.1,::1"));
    X509 *x = read_certificate(certificate);
    CHECK_INT(1, X509_check_host(x, "localhost", 0, 0, NULL));
    CHECK_INT(1, X509_check_host(x, "a.example", 0, 0, NULL));
    CHECK_INT(1, X509_check_host(x, "c.b.example", 0, 0, NULL));
    CHECK_INT(0, X509_check_host(x, "b.example", 0, 0, NULL));
    CHECK_INT(1, X509_check_ip_asc(x, "127.0.0.1", 0));
    CHECK_INT(1, X509_check_ip_asc(x, "::1", 0));
    CHECK_INT(0, X509_check_ip_asc(x, "127.0.0.2", 0));
    CHECK_INT(0, X509_check_ca(x));
    CHECK_INT(-1, X509_cmp_current_time(X509_get0_notBefore(x)));
    CHECK_INT(1, X509_cmp_current_time(X509_get0_notAfter(x)));
    CHECK_OK(weft_tls_self_signed(other, key, "localhost"));
    X509 *y = read_certificate(other);
    CHECK(ASN1_INTEGER_cmp(X509_get0_serialNumber(x), X509_get0_serialNumber(y)) != 0);
    X509_free(x);
    X509_free(y);
}

TEST(tls_self_signed_refuses_what_is_no_name)
{
    static const char *const wrong[] = {
        "", ",", "a,", ",a", "a,,b", "a b", "a;b", "é", "a/b", "a:b", "DNS:a.example", "a\n", NULL};
    char certificate[WEFT_TLS_PEM_MAX], key[WEFT_TLS_PEM_MAX], many[4 * WEFT_TLS_PEM_MAX];
    for (int i = 0; i < 13; i++)
        CHECK_ERR(-EINVAL, weft_tls_self_signed(certificate, key, wrong[i]));
    memset(many, 'a', sizeof many);
    many[300] = 0;
    CHECK_ERR(-EINVAL, weft_tls_self_signed(certificate, key, many));
    for (size_t i = 0; i < sizeof many; i++)
        many[i] = i % 2 == 0 ? 'a' : ',';
    many[sizeof many - 1] = 0;
    CHECK_ERR(-EINVAL, weft_tls_self_signed(certificate, key, many));
}

static int accept_one(void *arg)
{
    void **a = arg;
    (void)weft_tls_start(a[0], a[1], NULL, io_patience());
    weft_stream_close(a[0]); /* who has waited on it: so it is gone at once */
    return 0;
}

/* Both ends; what the client makes of it. */
TEST_IN(THREAD | CO, tls_self_signed_is_trusted_by_who_has_it)
{
    char certificate[WEFT_TLS_PEM_MAX], key[WEFT_TLS_PEM_MAX], other[WEFT_TLS_PEM_MAX], other_key[WEFT_TLS_PEM_MAX];
    CHECK_OK(weft_tls_self_signed(certificate, key, "localhost"));
    CHECK_OK(weft_tls_self_signed(other, other_key, "localhost"));
    weft_tls *server;
    CHECK_OK(
        weft_tls_new(&server, WEFT_TLS_SERVER, &(weft_tls_options){.certificate_text = certificate, .key_text = key}));
    static const struct {
        bool trusted;
        const char *host;
        int result;
    } cases[] = {
        {true, "localhost", 0}, {true, "a.example", -WEFT_EHOSTNAME}, {false, "localhost", -WEFT_ECERTIFICATE}};
    for (int i = 0; i < 3; i++) {
        weft_tls *client;
        CHECK_OK(weft_tls_new(&client, WEFT_TLS_CLIENT,
                              &(weft_tls_options){.ca_text = cases[i].trusted ? certificate : other}));
        io_pair pair = io_stream_pair(NULL);
        void *accepts[] = {pair.b, server};
        test_spawn(t, accept_one, accepts);
        CHECK_INT(cases[i].result, weft_tls_start(pair.a, client, cases[i].host, io_patience()));
        weft_stream_close(pair.a);
        test_join(t);
        weft_tls_free(client);
    }
    weft_tls_free(server);
}

/* Each of these is the only one of its key, whatever their subjects say. */
TEST_IN(THREAD | CO, tls_self_signed_are_trusted_beside_each_other)
{
    static const char *const names[] = {"a.example", "b.example", "c.example"};
    char certificates[3][WEFT_TLS_PEM_MAX], keys[3][WEFT_TLS_PEM_MAX], all[3 * WEFT_TLS_PEM_MAX] = "";
    for (int i = 0; i < 3; i++) {
        CHECK_OK(weft_tls_self_signed(certificates[i], keys[i], names[i]));
        strcat(all, certificates[i]);
    }
    weft_tls_certificate more[] = {{.certificate_text = certificates[1], .key_text = keys[1]},
                                   {.certificate_text = certificates[2], .key_text = keys[2]}};
    weft_tls *server, *client;
    CHECK_OK(weft_tls_new(
        &server, WEFT_TLS_SERVER,
        &(weft_tls_options){.certificate_text = certificates[0], .key_text = keys[0], .more = more, .more_count = 2}));
    CHECK_OK(weft_tls_new(&client, WEFT_TLS_CLIENT, &(weft_tls_options){.ca_text = all}));
    for (int i = 0; i < 4; i++) {
        io_pair pair = io_stream_pair(NULL);
        void *accepts[] = {pair.b, server};
        test_spawn(t, accept_one, accepts);
        CHECK_INT(i < 3 ? 0 : -WEFT_EHOSTNAME,
                  weft_tls_start(pair.a, client, i < 3 ? names[i] : "d.example", io_patience()));
        weft_stream_close(pair.a);
        test_join(t);
    }
    weft_tls_free(client);
    weft_tls_free(server);
}

#endif
#endif
