/* An NSS module that returns a constant: what glibc costs whatever the module does.
 * Names that start with '1' have one IPv4 address, all others one IPv4 and one IPv6 address. */
#define _GNU_SOURCE
#include <errno.h>
#include <netdb.h>
#include <nss.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

static const unsigned char v4[4] = {10, 0, 0, 1};
static const unsigned char v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};

enum nss_status _nss_mshconst_gethostbyname4_r(const char *name, struct gaih_addrtuple **pat, char *buf, size_t len,
                                               int *errnop, int *h_errnop, int32_t *ttlp) {
    struct gaih_addrtuple *tuple = (struct gaih_addrtuple *)buf;
    (void)errnop, (void)len;
    char *text = buf + 2 * sizeof *tuple;
    memcpy(text, "host.sol", 9);
    memset(tuple, 0, 2 * sizeof *tuple);
    tuple[0].name = tuple[1].name = text;
    tuple[0].family = AF_INET;
    memcpy(tuple[0].addr, v4, 4);
    tuple[1].family = AF_INET6;
    memcpy(tuple[1].addr, v6, 16);
    tuple[0].next = name[0] == '1' ? NULL : &tuple[1];
    *pat = tuple;
    *h_errnop = 0;
    if (ttlp) *ttlp = 0;
    return NSS_STATUS_SUCCESS;
}

enum nss_status _nss_mshconst_gethostbyname2_r(const char *name, int af, struct hostent *host, char *buf, size_t len,
                                               int *errnop, int *h_errnop) {
    (void)name, (void)errnop, (void)len;
    char **list = (char **)buf;
    list[0] = buf + 32, list[1] = NULL, list[2] = NULL;
    memcpy(list[0], af == AF_INET6 ? v6 : v4, af == AF_INET6 ? 16 : 4);
    memcpy(buf + 48, "host.sol", 9);
    *host = (struct hostent){buf + 48, list + 2, af, af == AF_INET6 ? 16 : 4, list};
    *h_errnop = 0;
    return NSS_STATUS_SUCCESS;
}

enum nss_status _nss_mshconst_gethostbyname_r(const char *name, struct hostent *host, char *buf, size_t len,
                                              int *errnop, int *h_errnop) {
    return _nss_mshconst_gethostbyname2_r(name, AF_INET, host, buf, len, errnop, h_errnop);
}
