//! What `cargo test` says while it runs: how many tests passed, and why others did not.

/// The lines read so far.
#[derive(Default)]
pub(super) struct CargoOutput {
    /// Tests that passed, by the lines that end a test binary's output.
    pub(super) passed: usize,
    /// Tests that failed, likewise.
    pub(super) failed: usize,
    /// Tests that were left out, likewise.
    pub(super) ignored: usize,
    /// The tests that failed by name, each with the first line of its panic.
    pub(super) failures: Vec<String>,
    /// The panic whose message is in the next line.
    panicked: Option<usize>,
}

impl CargoOutput {
    /// Takes the next line in.
    pub(super) fn line(&mut self, line: &str) {
        if let Some(failure) = self.panicked.take() {
            self.failures[failure] += &format!(": {}", line.trim());
        } else if let Some((passed, failed, ignored)) = test_result(line) {
            self.passed += passed;
            self.failed += failed;
            self.ignored += ignored;
        } else if let Some(name) =
            line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED"))
        {
            self.failures.push(name.to_owned());
        } else if let Some((name, place)) = panic(line) {
            // A binary tells of the panics of its tests after it has named those that failed.
            self.panicked = self.failures.iter().rposition(|failure| failure == name);
            if let Some(failure) = self.panicked {
                self.failures[failure] += &format!(" at {place}");
            }
        }
    }
}

/// Passed, failed and ignored in the line with which a test binary ends.
fn test_result(line: &str) -> Option<(usize, usize, usize)> {
    let (_, counts) = line.split_once("test result: ")?.1.split_once(". ")?;
    let count = |what: &str| {
        counts
            .split(';')
            .find_map(|part| part.trim().strip_suffix(what))
            .and_then(|number| number.trim().parse().ok())
            .unwrap_or(0)
    };
    Some((count("passed"), count("failed"), count("ignored")))
}

/// The thread, which has its test's name, and the place in the first line of a panic: `thread 'NAME' (ID) panicked at FILE:LINE:COLUMN:`.
fn panic(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.strip_prefix("thread '")?.split_once('\'')?;
    let (_, place) = rest.split_once(" panicked at ")?;
    Some((name, place.trim_end_matches(':')))
}

#[cfg(test)]
mod unit_tests {
    use super::CargoOutput;

    #[test]
    fn counts_the_tests_and_says_why_they_failed() {
        let mut output = CargoOutput::default();
        for line in [
            "running 3 tests",
            "test quick ... ok",
            "test reload::names ... FAILED",
            "test plain ... FAILED",
            "---- reload::names stdout ----",
            "thread 'reload::names' (17) panicked at mesherd/tests/reload.rs:12:5:",
            "no answer within 5 s",
            "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace",
            "---- plain stdout ----",
            "Error: NotFound",
            "test result: FAILED. 12 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s",
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s",
        ] {
            output.line(line);
        }
        assert_eq!((output.passed, output.failed, output.ignored), (15, 2, 1));
        assert_eq!(
            output.failures,
            ["reload::names at mesherd/tests/reload.rs:12:5: no answer within 5 s", "plain"]
        );
    }
}
