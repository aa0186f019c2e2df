/* openssl.h - OpenSSL, which is loaded when the first context is made: a program that speaks no TLS does not have its
 * mappings, which every fork copies. All its functions go through a table, by their own names. A function that is used
 * and not listed here does not link. */
#ifndef WEFT_IO_OPENSSL_H
#define WEFT_IO_OPENSSL_H

#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#if OPENSSL_VERSION_MAJOR >= 3
#include <openssl/core_names.h>
#endif

#include <stddef.h>

#define WEFT__OPENSSL_EVER(X)                                                                                          \
    X(ASN1_INTEGER_set_uint64)                                                                                         \
    X(ASN1_TIME_diff)                                                                                                  \
    X(BIO_clear_flags)                                                                                                 \
    X(BIO_ctrl_pending)                                                                                                \
    X(BIO_free)                                                                                                        \
    X(BIO_get_data)                                                                                                    \
    X(BIO_get_new_index)                                                                                               \
    X(BIO_meth_new)                                                                                                    \
    X(BIO_meth_set_ctrl)                                                                                               \
    X(BIO_meth_set_read)                                                                                               \
    X(BIO_meth_set_write)                                                                                              \
    X(BIO_new)                                                                                                         \
    X(BIO_new_mem_buf)                                                                                                 \
    X(BIO_read)                                                                                                        \
    X(BIO_s_mem)                                                                                                       \
    X(BIO_set_data)                                                                                                    \
    X(BIO_set_flags)                                                                                                   \
    X(BIO_set_init)                                                                                                    \
    X(CRYPTO_memcmp)                                                                                                   \
    X(ERR_clear_error)                                                                                                 \
    X(ERR_peek_error)                                                                                                  \
    X(ERR_peek_last_error)                                                                                             \
    X(ERR_reason_error_string)                                                                                         \
    X(EVP_DecryptInit_ex)                                                                                              \
    X(EVP_EncryptInit_ex)                                                                                              \
    X(EVP_PKEY_free)                                                                                                   \
    X(EVP_aes_256_cbc)                                                                                                 \
    X(EVP_sha256)                                                                                                      \
    X(HMAC)                                                                                                            \
    X(OPENSSL_cleanse)                                                                                                 \
    X(OPENSSL_init_ssl)                                                                                                \
    X(OPENSSL_sk_new_null)                                                                                             \
    X(OPENSSL_sk_pop_free)                                                                                             \
    X(OPENSSL_sk_push)                                                                                                 \
    X(OPENSSL_thread_stop)                                                                                             \
    X(PEM_read_bio_PrivateKey)                                                                                         \
    X(PEM_read_bio_X509)                                                                                               \
    X(PEM_read_bio_X509_AUX)                                                                                           \
    X(PEM_write_bio_PrivateKey)                                                                                        \
    X(PEM_write_bio_X509)                                                                                              \
    X(RAND_bytes)                                                                                                      \
    X(RAND_priv_bytes)                                                                                                 \
    X(SSL_CIPHER_get_name)                                                                                             \
    X(SSL_CTX_add_client_CA)                                                                                           \
    X(SSL_CTX_check_private_key)                                                                                       \
    X(SSL_CTX_ctrl)                                                                                                    \
    X(SSL_CTX_free)                                                                                                    \
    X(SSL_CTX_get_cert_store)                                                                                          \
    X(SSL_CTX_get_ex_data)                                                                                             \
    X(SSL_CTX_new)                                                                                                     \
    X(SSL_CTX_set_alpn_protos)                                                                                         \
    X(SSL_CTX_set_alpn_select_cb)                                                                                      \
    X(SSL_CTX_set_cert_cb)                                                                                             \
    X(SSL_CTX_set_default_verify_paths)                                                                                \
    X(SSL_CTX_set_ex_data)                                                                                             \
    X(SSL_CTX_set_options)                                                                                             \
    X(SSL_CTX_set_session_id_context)                                                                                  \
    X(SSL_CTX_set_timeout)                                                                                             \
    X(SSL_CTX_set_verify)                                                                                              \
    X(SSL_CTX_use_PrivateKey)                                                                                          \
    X(SSL_CTX_use_cert_and_key)                                                                                        \
    X(SSL_CTX_use_certificate)                                                                                         \
    X(SSL_SESSION_dup)                                                                                                 \
    X(SSL_SESSION_free)                                                                                                \
    X(SSL_SESSION_get0_peer)                                                                                           \
    X(SSL_SESSION_get_protocol_version)                                                                                \
    X(SSL_SESSION_get_ticket_lifetime_hint)                                                                            \
    X(SSL_SESSION_is_resumable)                                                                                        \
    X(SSL_SESSION_up_ref)                                                                                              \
    X(SSL_ctrl)                                                                                                        \
    X(SSL_do_handshake)                                                                                                \
    X(SSL_free)                                                                                                        \
    X(SSL_get0_alpn_selected)                                                                                          \
    X(SSL_get0_param)                                                                                                  \
    X(SSL_get_SSL_CTX)                                                                                                 \
    X(SSL_get_current_cipher)                                                                                          \
    X(SSL_get_error)                                                                                                   \
    X(SSL_get_servername)                                                                                              \
    X(SSL_get_session)                                                                                                 \
    X(SSL_get_verify_mode)                                                                                             \
    X(SSL_get_verify_result)                                                                                           \
    X(SSL_get_version)                                                                                                 \
    X(SSL_in_before)                                                                                                   \
    X(SSL_new)                                                                                                         \
    X(SSL_read_ex)                                                                                                     \
    X(SSL_select_next_proto)                                                                                           \
    X(SSL_session_reused)                                                                                              \
    X(SSL_set_accept_state)                                                                                            \
    X(SSL_set_bio)                                                                                                     \
    X(SSL_set_connect_state)                                                                                           \
    X(SSL_set_msg_callback)                                                                                            \
    X(SSL_set_session)                                                                                                 \
    X(SSL_shutdown)                                                                                                    \
    X(SSL_use_cert_and_key)                                                                                            \
    X(SSL_version)                                                                                                     \
    X(SSL_write_ex)                                                                                                    \
    X(TLS_client_method)                                                                                               \
    X(TLS_method)                                                                                                      \
    X(TLS_server_method)                                                                                               \
    X(X509V3_EXT_conf_nid)                                                                                             \
    X(X509V3_set_ctx)                                                                                                  \
    X(X509_EXTENSION_free)                                                                                             \
    X(X509_NAME_add_entry_by_txt)                                                                                      \
    X(X509_STORE_add_cert)                                                                                             \
    X(X509_VERIFY_PARAM_set1_host)                                                                                     \
    X(X509_VERIFY_PARAM_set1_ip_asc)                                                                                   \
    X(X509_VERIFY_PARAM_set_hostflags)                                                                                 \
    X(X509_add_ext)                                                                                                    \
    X(X509_check_host)                                                                                                 \
    X(X509_free)                                                                                                       \
    X(X509_get0_notAfter)                                                                                              \
    X(X509_get_serialNumber)                                                                                           \
    X(X509_get_subject_name)                                                                                           \
    X(X509_getm_notAfter)                                                                                              \
    X(X509_getm_notBefore)                                                                                             \
    X(X509_gmtime_adj)                                                                                                 \
    X(X509_new)                                                                                                        \
    X(X509_set_issuer_name)                                                                                            \
    X(X509_set_pubkey)                                                                                                 \
    X(X509_set_version)                                                                                                \
    X(X509_sign)                                                                                                       \
    X(X509_verify_cert_error_string)

#if OPENSSL_VERSION_MAJOR >= 3
#define WEFT__OPENSSL_3(X)                                                                                             \
    X(EVP_CIPHER_get_iv_length)                                                                                        \
    X(EVP_MAC_CTX_set_params)                                                                                          \
    X(EVP_PKEY_Q_keygen)                                                                                               \
    X(OSSL_PARAM_construct_end)                                                                                        \
    X(OSSL_PARAM_construct_octet_string)                                                                               \
    X(OSSL_PARAM_construct_utf8_string)                                                                                \
    X(SSL_CTX_set_tlsext_ticket_key_evp_cb)
#else
#define WEFT__OPENSSL_3(X)
#endif

#define WEFT__OPENSSL_ALL(X) WEFT__OPENSSL_EVER(X) WEFT__OPENSSL_3(X)

#define WEFT__OPENSSL_MEMBER(name) __typeof__(name) *name##_;
typedef struct weft__openssl_table {
    WEFT__OPENSSL_ALL(WEFT__OPENSSL_MEMBER)
} weft__openssl_table;

/* As the loader has filled it; never changed afterwards. */
extern weft__openssl_table weft__openssl;

/* Have it loaded, before anything else of it is used: 0, or -ELIBACC and why in `error` (may be NULL). */
int weft__openssl_load(char *error, size_t size);

/* Whether that has been done. */
int weft__openssl_loaded(void);

#ifndef WEFT__OPENSSL_PLAIN
#define ASN1_INTEGER_set_uint64              (*weft__openssl.ASN1_INTEGER_set_uint64_)
#define ASN1_TIME_diff                       (*weft__openssl.ASN1_TIME_diff_)
#define BIO_clear_flags                      (*weft__openssl.BIO_clear_flags_)
#define BIO_ctrl_pending                     (*weft__openssl.BIO_ctrl_pending_)
#define BIO_free                             (*weft__openssl.BIO_free_)
#define BIO_get_data                         (*weft__openssl.BIO_get_data_)
#define BIO_get_new_index                    (*weft__openssl.BIO_get_new_index_)
#define BIO_meth_new                         (*weft__openssl.BIO_meth_new_)
#define BIO_meth_set_ctrl                    (*weft__openssl.BIO_meth_set_ctrl_)
#define BIO_meth_set_read                    (*weft__openssl.BIO_meth_set_read_)
#define BIO_meth_set_write                   (*weft__openssl.BIO_meth_set_write_)
#define BIO_new                              (*weft__openssl.BIO_new_)
#define BIO_new_mem_buf                      (*weft__openssl.BIO_new_mem_buf_)
#define BIO_read                             (*weft__openssl.BIO_read_)
#define BIO_s_mem                            (*weft__openssl.BIO_s_mem_)
#define BIO_set_data                         (*weft__openssl.BIO_set_data_)
#define BIO_set_flags                        (*weft__openssl.BIO_set_flags_)
#define BIO_set_init                         (*weft__openssl.BIO_set_init_)
#define CRYPTO_memcmp                        (*weft__openssl.CRYPTO_memcmp_)
#define ERR_clear_error                      (*weft__openssl.ERR_clear_error_)
#define ERR_peek_error                       (*weft__openssl.ERR_peek_error_)
#define ERR_peek_last_error                  (*weft__openssl.ERR_peek_last_error_)
#define ERR_reason_error_string              (*weft__openssl.ERR_reason_error_string_)
#define EVP_CIPHER_get_iv_length             (*weft__openssl.EVP_CIPHER_get_iv_length_)
#define EVP_DecryptInit_ex                   (*weft__openssl.EVP_DecryptInit_ex_)
#define EVP_EncryptInit_ex                   (*weft__openssl.EVP_EncryptInit_ex_)
#define EVP_MAC_CTX_set_params               (*weft__openssl.EVP_MAC_CTX_set_params_)
#define EVP_PKEY_Q_keygen                    (*weft__openssl.EVP_PKEY_Q_keygen_)
#define EVP_PKEY_free                        (*weft__openssl.EVP_PKEY_free_)
#define EVP_aes_256_cbc                      (*weft__openssl.EVP_aes_256_cbc_)
#define EVP_sha256                           (*weft__openssl.EVP_sha256_)
#define HMAC                                 (*weft__openssl.HMAC_)
#define OPENSSL_cleanse                      (*weft__openssl.OPENSSL_cleanse_)
#define OPENSSL_init_ssl                     (*weft__openssl.OPENSSL_init_ssl_)
#define OPENSSL_sk_new_null                  (*weft__openssl.OPENSSL_sk_new_null_)
#define OPENSSL_sk_pop_free                  (*weft__openssl.OPENSSL_sk_pop_free_)
#define OPENSSL_sk_push                      (*weft__openssl.OPENSSL_sk_push_)
#define OPENSSL_thread_stop                  (*weft__openssl.OPENSSL_thread_stop_)
#define OSSL_PARAM_construct_end             (*weft__openssl.OSSL_PARAM_construct_end_)
#define OSSL_PARAM_construct_octet_string    (*weft__openssl.OSSL_PARAM_construct_octet_string_)
#define OSSL_PARAM_construct_utf8_string     (*weft__openssl.OSSL_PARAM_construct_utf8_string_)
#define PEM_read_bio_PrivateKey              (*weft__openssl.PEM_read_bio_PrivateKey_)
#define PEM_read_bio_X509                    (*weft__openssl.PEM_read_bio_X509_)
#define PEM_read_bio_X509_AUX                (*weft__openssl.PEM_read_bio_X509_AUX_)
#define PEM_write_bio_PrivateKey             (*weft__openssl.PEM_write_bio_PrivateKey_)
#define PEM_write_bio_X509                   (*weft__openssl.PEM_write_bio_X509_)
#define RAND_bytes                           (*weft__openssl.RAND_bytes_)
#define RAND_priv_bytes                      (*weft__openssl.RAND_priv_bytes_)
#define SSL_CIPHER_get_name                  (*weft__openssl.SSL_CIPHER_get_name_)
#define SSL_CTX_add_client_CA                (*weft__openssl.SSL_CTX_add_client_CA_)
#define SSL_CTX_check_private_key            (*weft__openssl.SSL_CTX_check_private_key_)
#define SSL_CTX_ctrl                         (*weft__openssl.SSL_CTX_ctrl_)
#define SSL_CTX_free                         (*weft__openssl.SSL_CTX_free_)
#define SSL_CTX_get_cert_store               (*weft__openssl.SSL_CTX_get_cert_store_)
#define SSL_CTX_get_ex_data                  (*weft__openssl.SSL_CTX_get_ex_data_)
#define SSL_CTX_new                          (*weft__openssl.SSL_CTX_new_)
#define SSL_CTX_set_alpn_protos              (*weft__openssl.SSL_CTX_set_alpn_protos_)
#define SSL_CTX_set_alpn_select_cb           (*weft__openssl.SSL_CTX_set_alpn_select_cb_)
#define SSL_CTX_set_cert_cb                  (*weft__openssl.SSL_CTX_set_cert_cb_)
#define SSL_CTX_set_default_verify_paths     (*weft__openssl.SSL_CTX_set_default_verify_paths_)
#define SSL_CTX_set_ex_data                  (*weft__openssl.SSL_CTX_set_ex_data_)
#define SSL_CTX_set_options                  (*weft__openssl.SSL_CTX_set_options_)
#define SSL_CTX_set_session_id_context       (*weft__openssl.SSL_CTX_set_session_id_context_)
#define SSL_CTX_set_timeout                  (*weft__openssl.SSL_CTX_set_timeout_)
#define SSL_CTX_set_tlsext_ticket_key_evp_cb (*weft__openssl.SSL_CTX_set_tlsext_ticket_key_evp_cb_)
#define SSL_CTX_set_verify                   (*weft__openssl.SSL_CTX_set_verify_)
#define SSL_CTX_use_PrivateKey               (*weft__openssl.SSL_CTX_use_PrivateKey_)
#define SSL_CTX_use_cert_and_key             (*weft__openssl.SSL_CTX_use_cert_and_key_)
#define SSL_CTX_use_certificate              (*weft__openssl.SSL_CTX_use_certificate_)
#define SSL_SESSION_dup                      (*weft__openssl.SSL_SESSION_dup_)
#define SSL_SESSION_free                     (*weft__openssl.SSL_SESSION_free_)
#define SSL_SESSION_get0_peer                (*weft__openssl.SSL_SESSION_get0_peer_)
#define SSL_SESSION_get_protocol_version     (*weft__openssl.SSL_SESSION_get_protocol_version_)
#define SSL_SESSION_get_ticket_lifetime_hint (*weft__openssl.SSL_SESSION_get_ticket_lifetime_hint_)
#define SSL_SESSION_is_resumable             (*weft__openssl.SSL_SESSION_is_resumable_)
#define SSL_SESSION_up_ref                   (*weft__openssl.SSL_SESSION_up_ref_)
#define SSL_ctrl                             (*weft__openssl.SSL_ctrl_)
#define SSL_do_handshake                     (*weft__openssl.SSL_do_handshake_)
#define SSL_free                             (*weft__openssl.SSL_free_)
#define SSL_get0_alpn_selected               (*weft__openssl.SSL_get0_alpn_selected_)
#define SSL_get0_param                       (*weft__openssl.SSL_get0_param_)
#define SSL_get_SSL_CTX                      (*weft__openssl.SSL_get_SSL_CTX_)
#define SSL_get_current_cipher               (*weft__openssl.SSL_get_current_cipher_)
#define SSL_get_error                        (*weft__openssl.SSL_get_error_)
#define SSL_get_servername                   (*weft__openssl.SSL_get_servername_)
#define SSL_get_session                      (*weft__openssl.SSL_get_session_)
#define SSL_get_verify_mode                  (*weft__openssl.SSL_get_verify_mode_)
#define SSL_get_verify_result                (*weft__openssl.SSL_get_verify_result_)
#define SSL_get_version                      (*weft__openssl.SSL_get_version_)
#define SSL_in_before                        (*weft__openssl.SSL_in_before_)
#define SSL_new                              (*weft__openssl.SSL_new_)
#define SSL_read_ex                          (*weft__openssl.SSL_read_ex_)
#define SSL_select_next_proto                (*weft__openssl.SSL_select_next_proto_)
#define SSL_session_reused                   (*weft__openssl.SSL_session_reused_)
#define SSL_set_accept_state                 (*weft__openssl.SSL_set_accept_state_)
#define SSL_set_bio                          (*weft__openssl.SSL_set_bio_)
#define SSL_set_connect_state                (*weft__openssl.SSL_set_connect_state_)
#define SSL_set_msg_callback                 (*weft__openssl.SSL_set_msg_callback_)
#define SSL_set_session                      (*weft__openssl.SSL_set_session_)
#define SSL_shutdown                         (*weft__openssl.SSL_shutdown_)
#define SSL_use_cert_and_key                 (*weft__openssl.SSL_use_cert_and_key_)
#define SSL_version                          (*weft__openssl.SSL_version_)
#define SSL_write_ex                         (*weft__openssl.SSL_write_ex_)
#define TLS_client_method                    (*weft__openssl.TLS_client_method_)
#define TLS_method                           (*weft__openssl.TLS_method_)
#define TLS_server_method                    (*weft__openssl.TLS_server_method_)
#define X509V3_EXT_conf_nid                  (*weft__openssl.X509V3_EXT_conf_nid_)
#define X509V3_set_ctx                       (*weft__openssl.X509V3_set_ctx_)
#define X509_EXTENSION_free                  (*weft__openssl.X509_EXTENSION_free_)
#define X509_NAME_add_entry_by_txt           (*weft__openssl.X509_NAME_add_entry_by_txt_)
#define X509_STORE_add_cert                  (*weft__openssl.X509_STORE_add_cert_)
#define X509_VERIFY_PARAM_set1_host          (*weft__openssl.X509_VERIFY_PARAM_set1_host_)
#define X509_VERIFY_PARAM_set1_ip_asc        (*weft__openssl.X509_VERIFY_PARAM_set1_ip_asc_)
#define X509_VERIFY_PARAM_set_hostflags      (*weft__openssl.X509_VERIFY_PARAM_set_hostflags_)
#define X509_add_ext                         (*weft__openssl.X509_add_ext_)
#define X509_check_host                      (*weft__openssl.X509_check_host_)
#define X509_free                            (*weft__openssl.X509_free_)
#define X509_get0_notAfter                   (*weft__openssl.X509_get0_notAfter_)
#define X509_get_serialNumber                (*weft__openssl.X509_get_serialNumber_)
#define X509_get_subject_name                (*weft__openssl.X509_get_subject_name_)
#define X509_getm_notAfter                   (*weft__openssl.X509_getm_notAfter_)
#define X509_getm_notBefore                  (*weft__openssl.X509_getm_notBefore_)
#define X509_gmtime_adj                      (*weft__openssl.X509_gmtime_adj_)
#define X509_new                             (*weft__openssl.X509_new_)
#define X509_set_issuer_name                 (*weft__openssl.X509_set_issuer_name_)
#define X509_set_pubkey                      (*weft__openssl.X509_set_pubkey_)
#define X509_set_version                     (*weft__openssl.X509_set_version_)
#define X509_sign                            (*weft__openssl.X509_sign_)
#define X509_verify_cert_error_string        (*weft__openssl.X509_verify_cert_error_string_)
#endif

#endif
