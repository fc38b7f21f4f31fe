//! Which domains a network may have.

use mesher_claims::names::Domain;

/// Whether `domain` should not be a network's: names under it can be registered by anybody in the public DNS (publicsuffix.org), or
/// belong to something else on every machine, and this machine's programs would be led astray for all of them.
pub(crate) fn is_public(domain: &Domain) -> bool {
    let folded = domain.as_str().to_ascii_lowercase();
    // In the list, and yet everybody's own (RFC 8375).
    if folded == "home.arpa" {
        return false;
    }
    // Others answer for these on the same machine: multicast DNS, the reverse zones, Tor (RFC 6762, 3172, 7686).
    if matches!(folded.as_str(), "local" | "arpa" | "onion") {
        return true;
    }
    psl::suffix(folded.as_bytes())
        .is_some_and(|suffix| suffix.is_known() && suffix.as_bytes() == folded.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_where_anybody_registers_are_public_and_others_are_not() {
        for (domain, public) in [
            ("com", true),
            ("CO.UK", true),
            ("dev", true),
            ("sol", false),
            ("mesh", false),
            ("internal", false),
            ("example.org", false),
            ("mesh.example.co.uk", false),
            ("home.arpa", false),
            ("local", true),
            ("mesh.local", false),
        ] {
            assert_eq!(is_public(&domain.parse().unwrap()), public, "{domain}");
        }
    }
}
