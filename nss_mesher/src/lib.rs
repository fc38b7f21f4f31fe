//! The glibc NSS module: lookups answered straight from the hosts table.
