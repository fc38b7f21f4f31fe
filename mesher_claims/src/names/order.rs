//! Comparing names without regard to ASCII case.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use super::{ClaimName, Domain};

/// Orders and equates by ASCII-folded bytes.
macro_rules! folded_order {
    ($type:ty) => {
        impl Ord for $type {
            fn cmp(&self, other: &Self) -> Ordering {
                let fold = |text: &'_ str| text.as_bytes().to_ascii_lowercase();
                if self.0.len() == other.0.len() && self.0.as_bytes().eq_ignore_ascii_case(other.0.as_bytes())
                {
                    return Ordering::Equal;
                }
                fold(&self.0).cmp(&fold(&other.0))
            }
        }
        impl PartialOrd for $type {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }
        impl PartialEq for $type {
            fn eq(&self, other: &Self) -> bool {
                self.0.eq_ignore_ascii_case(&other.0)
            }
        }
        impl Eq for $type {}
        impl Hash for $type {
            fn hash<H: Hasher>(&self, state: &mut H) {
                for byte in self.0.bytes() {
                    state.write_u8(byte.to_ascii_lowercase());
                }
                state.write_u8(0xff);
            }
        }
    };
}
folded_order!(Domain);
folded_order!(ClaimName);
