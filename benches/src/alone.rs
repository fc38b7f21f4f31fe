//! The module alone: its entry point called directly, against the naked lookup, in one process and by turns.

use std::ffi::{CString, c_int};
use std::hint::black_box;
use std::path::Path;
use std::ptr::null_mut;
use std::time::Instant;

use crate::modules::{Bare, ByName4, Loaded, SIZES, naked, name, table};
use crate::report::{Report, cpu_time};

/// Calls in one measurement; a clock costs about as much as a lookup, so it is read once for all of them.
const BATCH: usize = 64;

/// Something that is measured: called with a name.
pub(crate) struct Subject {
    /// How it is called in the report.
    pub(crate) label: &'static str,
    call: Box<dyn Fn(&CString) -> c_int>,
}

impl Subject {
    fn module(label: &'static str, function: ByName4) -> Self {
        let call = move |name: &CString| {
            let mut buffer = std::mem::MaybeUninit::<[u64; 128]>::uninit();
            let (mut pat, mut errno, mut h_errno) = (null_mut(), 0, 0);
            // SAFETY: all pointers are valid.
            let status = unsafe {
                let buf = buffer.as_mut_ptr().cast();
                function(name.as_ptr(), &raw mut pat, buf, 1024, &raw mut errno, &raw mut h_errno, null_mut())
            };
            black_box(pat);
            status
        };
        Self { label, call: Box::new(call) }
    }

    fn bare(function: Bare) -> Self {
        let call = move |name: &CString| {
            let mut addresses = [0_u8; 20];
            // SAFETY: all pointers are valid.
            let found = unsafe { function(name.as_ptr(), addresses.as_mut_ptr()) };
            black_box(addresses);
            found
        };
        Self { label: "bare", call: Box::new(call) }
    }
}

/// Names to ask for, in no order. Those that miss differ from held ones in one letter.
fn names(count: u32, hit: bool) -> Vec<CString> {
    let mut state = 1_u64;
    let picks = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        u32::try_from(state >> 33).expect("31 bits") % count
    });
    picks
        .take(1 << 15)
        .map(|n| {
            let name = if hit { name(n) } else { name(n).replacen("host", "hosx", 1) };
            CString::new(name).expect("no zero inside")
        })
        .collect()
}

/// Nanoseconds a call of each subject: the median over batches, subjects by turns, so that all meet the same weather.
pub(crate) fn medians(subjects: &[Subject], names: &[CString], expected: c_int) -> Vec<f64> {
    let mut times = vec![Vec::new(); subjects.len()];
    for round in 0..3 {
        let batches: Vec<_> = names.chunks_exact(BATCH).collect();
        for at in 0..batches.len() {
            for (nth, (subject, times)) in subjects.iter().zip(&mut times).enumerate() {
                // Each asks for other names than the one before it, which would find them warm in the caches.
                let batch = batches[(at + nth * batches.len() / subjects.len()) % batches.len()];
                let started = Instant::now();
                for name in batch {
                    assert_eq!((subject.call)(name), expected, "{}", subject.label);
                }
                if round > 0 {
                    times.push(started.elapsed().as_nanos() as f64 / BATCH as f64);
                }
            }
        }
    }
    times.iter_mut().map(|times| crate::report::median(times)).collect()
}

/// The three subjects on tables of this size.
pub(crate) fn subjects(folder: &Path, size: u32) -> Vec<Subject> {
    // SAFETY: this process has one thread; the functions have these types.
    unsafe {
        std::env::set_var("MESHER_TABLE", table(folder, size));
        std::env::set_var("NAKED_TABLE", naked(folder, size));
        let ours =
            Loaded::copy_of(&folder.join("libnss_mesher.so.2"), &folder.join(format!("mesher-{size}.so")));
        let naked_module =
            Loaded::copy_of(&folder.join("libnss_mshnaked.so.2"), &folder.join(format!("naked-{size}.so")));
        let subjects = vec![
            Subject::module("module", ours.function(c"_nss_mesher_gethostbyname4_r")),
            Subject::module("naked module", naked_module.function(c"_nss_mshnaked_gethostbyname4_r")),
            Subject::bare(naked_module.function(c"bare_lookup")),
        ];
        // The first call maps the file; before that the environment must not change.
        for subject in [0, 1] {
            assert_eq!((subjects[subject].call)(&CString::new(name(0)).expect("a name")), 1);
        }
        subjects
    }
}

/// Hits and misses at every size.
pub(crate) fn run(folder: &Path, report: &mut Report) {
    for size in SIZES {
        let subjects = subjects(folder, size);
        // Found is 1 to both: the bare lookup's own answer and NSS_STATUS_SUCCESS; not found is 0.
        for (what, hit, status) in [("hit", true, 1), ("miss", false, 0)] {
            let medians = medians(&subjects, &names(size, hit), status);
            let [ours, naked, bare] = medians[..] else { unreachable!("three subjects") };
            let goal = match (hit, size) {
                (true, 100_000) => 1.4,
                (true, _) => 2.0,
                (false, _) => 1.5,
            };
            report.ratio(
                &format!("module alone, {what}, {size} names, against the bare lookup"),
                ours / bare,
                goal,
                &format!("{ours:.0} ns against {bare:.0} ns; the naked module {naked:.0} ns"),
            );
        }
    }
}

/// Direct calls a second in two threads against one.
pub(crate) fn threads(folder: &Path, report: &mut Report) {
    let function: ByName4 = {
        // SAFETY: this process has one thread; the function has this type.
        unsafe {
            std::env::set_var("MESHER_TABLE", table(folder, 1000));
            Loaded::copy_of(&folder.join("libnss_mesher.so.2"), &folder.join("mesher-threads.so"))
                .function(c"_nss_mesher_gethostbyname4_r")
        }
    };
    let work = || {
        let subject = Subject::module("module", function);
        let names = names(1000, true);
        let (started, used) = (Instant::now(), cpu_time());
        let mut calls = 0_u64;
        while started.elapsed().as_millis() < 300 {
            for name in &names[..4096] {
                assert_eq!((subject.call)(name), 1);
            }
            calls += 4096;
        }
        // A second of processor time each: on a busy machine two threads seldom have two processors to themselves.
        calls as f64 / (cpu_time() - used).as_secs_f64()
    };
    let mut ratios = Vec::new();
    let mut single = Vec::new();
    for _ in 0..9 {
        let one = work();
        let two: f64 = std::thread::scope(|scope| {
            let threads = [scope.spawn(work), scope.spawn(work)];
            threads.into_iter().map(|thread| thread.join().expect("it ends")).sum()
        });
        ratios.push(two / one);
        single.push(one);
    }
    let one = crate::report::median(&mut single);
    let detail = format!("{:.1} million calls a second in one thread", one / 1e6);
    report.at_least(
        "direct calls a second of processor time, 2 threads against 1",
        crate::report::median(&mut ratios),
        1.9,
        &detail,
    );
}
