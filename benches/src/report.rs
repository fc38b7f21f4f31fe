//! What was measured, against what was hoped for.

use std::time::Duration;

/// The median; 0 of nothing.
pub(crate) fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(0.0)
}

/// The processor time this thread has used, in user and kernel: on a machine that does other things as well, a wall clock
/// measures those.
pub(crate) fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the struct is valid for writing.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) }, 0);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).expect("below a second"))
}

/// The rows of the report.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<String>,
    missed: usize,
}

impl Report {
    fn row(&mut self, what: &str, value: &str, goal: &str, met: bool, detail: &str) {
        let verdict = if met { "met" } else { "**missed**" };
        self.missed += usize::from(!met);
        let row = format!("| {what} | {value} | {goal} | {verdict} | {detail} |");
        eprintln!("{row}");
        self.rows.push(row);
    }

    /// A ratio that is to be small.
    pub(crate) fn ratio(&mut self, what: &str, value: f64, goal: f64, detail: &str) {
        self.row(what, &format!("{value:.2} ×"), &format!("≤ {goal} ×"), value <= goal, detail);
    }

    /// A ratio that is to be large.
    pub(crate) fn at_least(&mut self, what: &str, value: f64, goal: f64, detail: &str) {
        self.row(what, &format!("{value:.2} ×"), &format!("≥ {goal} ×"), value >= goal, detail);
    }

    /// A number that is to be small.
    pub(crate) fn number(&mut self, what: &str, value: f64, unit: &str, goal: f64, detail: &str) {
        self.row(what, &format!("{value:.0} {unit}"), &format!("≤ {goal} {unit}"), value <= goal, detail);
    }

    /// A number without a goal.
    pub(crate) fn reported(&mut self, what: &str, value: f64, unit: &str, detail: &str) {
        let digits = if value < 10.0 { 2 } else { 0 };
        let row = format!("| {what} | {value:.digits$} {unit} | | reported | {detail} |");
        eprintln!("{row}");
        self.rows.push(row);
    }

    /// The whole table, as Markdown.
    pub(crate) fn table(&self) -> String {
        let head = "| measure | result | goal | | detail |\n|---|---|---|---|---|\n";
        head.to_owned() + &self.rows.join("\n") + "\n"
    }

    /// How many goals were missed.
    pub(crate) fn missed(&self) -> usize {
        self.missed
    }
}
