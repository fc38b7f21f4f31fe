//! Durations as the operator writes them: one whole number and one unit, `500ms`, `10s`, `24h`.

use std::time::Duration;

/// The units, largest first, each with its length in milliseconds.
const UNITS: [(&str, u64); 5] =
    [("d", 24 * 60 * 60 * 1000), ("h", 60 * 60 * 1000), ("m", 60 * 1000), ("s", 1000), ("ms", 1)];

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a duration such as 500ms, 10s, 5m, 24h or 7d, found {found:?}")]
pub struct ParseDurationError {
    /// The text as it was given.
    pub found: String,
}

/// Reads a duration: a whole number followed, without a space, by `ms`, `s`, `m`, `h` or `d`.
///
/// Fractions and several units in a row are refused: `1.5h` is written `90m`.
pub fn parse_duration(text: &str) -> Result<Duration, ParseDurationError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: Option<u64> = number.parse().ok();
    let unit_ms = UNITS.iter().find(|(name, _)| *name == unit).map(|&(_, ms)| ms);
    number
        .zip(unit_ms)
        .and_then(|(number, unit_ms)| number.checked_mul(unit_ms))
        .map(Duration::from_millis)
        .ok_or_else(|| ParseDurationError { found: text.to_owned() })
}

/// Writes a duration in the largest unit that says it exactly, so that [`parse_duration`] reads it back.
/// What is finer than a millisecond is cut off.
pub fn format_duration(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if ms == 0 {
        return "0s".to_owned();
    }
    UNITS
        .iter()
        .find(|(_, unit_ms)| ms.is_multiple_of(*unit_ms))
        .map(|(name, unit_ms)| format!("{}{name}", ms / unit_ms))
        .unwrap_or_else(|| format!("{ms}ms"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_is_read() {
        for (text, ms) in [
            ("500ms", 500),
            ("10s", 10_000),
            ("5m", 300_000),
            ("24h", 86_400_000),
            ("7d", 604_800_000),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "10",
            "s",
            "10 s",
            " 10s",
            "1.5h",
            "-1s",
            "+1s",
            "1h30m",
            "10S",
            "10sec",
            "99999999999999999999s",
        ] {
            assert!(parse_duration(text).is_err(), "{text:?} was taken");
        }
        // The largest number of days overflows milliseconds and must not wrap to a short time.
        assert!(parse_duration("213503982335d").is_err());
    }

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["0s", "1ms", "999ms", "1s", "90s", "1m", "90m", "1h", "36h", "1d", "7d"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
        assert_eq!(format_duration(Duration::from_secs(86_400)), "1d");
    }
}
