//! Who holds which name: names, signed records, leases and the view, as pure functions of their inputs.
