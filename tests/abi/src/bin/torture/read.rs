//! The readers: eight threads, a signal handler, children of forks, cancelled threads, and somebody who closes every
//! descriptor; all looking the same names up, and counting.

use std::ffi::{CString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::null_mut;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use nss_mesher_core::AddressTuple;

use crate::ALWAYS;

type ByName4 = unsafe extern "C" fn(
    *const c_char,
    *mut *mut AddressTuple,
    *mut c_char,
    usize,
    *mut c_int,
    *mut c_int,
    *mut i32,
) -> c_int;
type ByAddress = unsafe extern "C" fn(
    *const c_void,
    u32,
    c_int,
    *mut libc::hostent,
    *mut c_char,
    usize,
    *mut c_int,
    *mut c_int,
) -> c_int;

/// The counts, shared with the children of forks.
#[derive(Default)]
struct Counts {
    lookups: AtomicU64,
    in_children: AtomicU64,
    in_handlers: AtomicU64,
    torn: AtomicU64,
    older: AtomicU64,
    unavailable: AtomicU64,
    lost: AtomicU64,
    publications_seen: AtomicU64,
    children: AtomicU64,
    children_failed: AtomicU64,
    cancelled: AtomicU64,
    cancelled_inside: AtomicU64,
    most_mappings: AtomicU64,
}

impl Counts {
    /// Whether everything has been tried often enough to say something.
    fn suffice(&self) -> bool {
        let tried = [
            &self.lookups,
            &self.in_children,
            &self.in_handlers,
            &self.publications_seen,
            &self.children,
            &self.cancelled,
        ];
        tried.iter().all(|count| count.load(Relaxed) > 10)
    }
}

struct Stage {
    by_name4: ByName4,
    by_address: ByAddress,
    names: Vec<CString>,
    counts: &'static Counts,
    stop: AtomicBool,
}

static STAGE: OnceLock<Stage> = OnceLock::new();

fn stage() -> &'static Stage {
    STAGE.get().expect("set up at the start")
}

/// One reader's memory: the newest generation it has seen.
#[derive(Default)]
struct Reader {
    newest: u32,
    turn: usize,
}

impl Reader {
    /// Looks one name up and checks the answer.
    fn look(&mut self) {
        let stage = stage();
        let name = &stage.names[self.turn % stage.names.len()];
        self.turn += 1;
        let mut buffer = [0_u64; 256];
        let (mut pat, mut errno, mut h_errno) = (null_mut(), 0, 0);
        // SAFETY: the entry point has this type; all pointers are valid.
        let status = unsafe {
            let buf = buffer.as_mut_ptr().cast();
            (stage.by_name4)(
                name.as_ptr(),
                &raw mut pat,
                buf,
                size_of_val(&buffer),
                &raw mut errno,
                &raw mut h_errno,
                null_mut(),
            )
        };
        stage.counts.lookups.fetch_add(1, Relaxed);
        match status {
            1 => self.check(pat),
            -1 => drop(stage.counts.unavailable.fetch_add(1, Relaxed)),
            _ => drop(stage.counts.lost.fetch_add(1, Relaxed)),
        }
        if self.turn.is_multiple_of(16) {
            self.look_back();
        }
    }

    fn check(&mut self, mut tuple: *mut AddressTuple) {
        let counts = stage().counts;
        let mut generation = None;
        let mut whole = true;
        let mut count = 0;
        while !tuple.is_null() {
            // SAFETY: the module's answer, in our buffer.
            let this = unsafe { tuple.read() };
            let words = if this.family == libc::AF_INET { &this.addr[..1] } else { &this.addr[..] };
            let fixed = words == [u32::from_ne_bytes([10, 0, 0, 1])];
            for word in words.iter().filter(|_| !fixed) {
                whole &= *generation.get_or_insert(*word) == *word;
            }
            count += u32::from(!fixed);
            tuple = this.next;
        }
        let generation = u32::from_be(generation.unwrap_or(0));
        if !whole || count != 6 {
            counts.torn.fetch_add(1, Relaxed);
        }
        if generation < self.newest {
            counts.older.fetch_add(1, Relaxed);
        }
        if generation > self.newest {
            counts.publications_seen.fetch_add(1, Relaxed);
            self.newest = generation;
        }
    }

    fn look_back(&mut self) {
        let stage = stage();
        let mut host = libc::hostent {
            h_name: null_mut(),
            h_aliases: null_mut(),
            h_addrtype: 0,
            h_length: 0,
            h_addr_list: null_mut(),
        };
        let mut buffer = [0_u64; 64];
        let (mut errno, mut h_errno) = (0, 0);
        // SAFETY: the entry point has this type; all pointers are valid.
        let status = unsafe {
            let (buf, address) = (buffer.as_mut_ptr().cast(), [10_u8, 0, 0, 1]);
            let address = address.as_ptr().cast();
            (stage.by_address)(
                address,
                4,
                libc::AF_INET,
                &raw mut host,
                buf,
                size_of_val(&buffer),
                &raw mut errno,
                &raw mut h_errno,
            )
        };
        stage.counts.lookups.fetch_add(1, Relaxed);
        // SAFETY: on success the name is a string in our buffer.
        if status != 1 || unsafe { std::ffi::CStr::from_ptr(host.h_name) } != c"Host-0.sol" {
            stage.counts.lost.fetch_add(1, Relaxed);
        }
    }
}

/// Looks up inside a signal handler, which may have interrupted a lookup.
extern "C" fn on_signal(_: c_int) {
    static NEWEST: AtomicU32 = AtomicU32::new(0);
    // Handlers run in several threads, and an interrupted one may finish late: no order is asked of them together.
    let mut reader = Reader { newest: 0, turn: NEWEST.fetch_add(1, Relaxed) as usize };
    reader.look();
    stage().counts.in_handlers.fetch_add(1, Relaxed);
}

/// Begun and ended lookups of the thread that is about to be cancelled.
static BEGUN: AtomicU64 = AtomicU64::new(0);
static ENDED: AtomicU64 = AtomicU64::new(0);

extern "C-unwind" fn to_be_cancelled(_: *mut c_void) -> *mut c_void {
    unsafe extern "C-unwind" {
        fn pthread_testcancel();
    }
    // Nothing here has a destructor: the thread ends in the middle of the loop.
    let mut reader = Reader::default();
    loop {
        BEGUN.fetch_add(1, Relaxed);
        reader.look();
        ENDED.fetch_add(1, Relaxed);
        // SAFETY: the one place where this thread may end.
        unsafe { pthread_testcancel() };
    }
}

fn cancel_threads() {
    unsafe extern "C" {
        fn pthread_cancel(thread: libc::pthread_t) -> c_int;
    }
    type Start = extern "C" fn(*mut c_void) -> *mut c_void;
    while !stage().stop.load(Relaxed) {
        let mut thread = 0;
        // SAFETY: the function has the type that pthread_create wants, but for unwinding, which is how glibc ends a
        // cancelled thread.
        let made = unsafe {
            let start = std::mem::transmute::<extern "C-unwind" fn(*mut c_void) -> *mut c_void, Start>(
                to_be_cancelled,
            );
            libc::pthread_create(&raw mut thread, std::ptr::null(), start, null_mut())
        };
        assert_eq!(made, 0);
        std::thread::sleep(Duration::from_millis(3));
        // SAFETY: the thread was made above and is joined once.
        unsafe {
            assert_eq!(pthread_cancel(thread), 0);
            assert_eq!(libc::pthread_join(thread, null_mut()), 0);
        }
        stage().counts.cancelled.fetch_add(1, Relaxed);
        if BEGUN.load(Relaxed) != ENDED.load(Relaxed) {
            stage().counts.cancelled_inside.fetch_add(1, Relaxed);
            BEGUN.store(ENDED.load(Relaxed), Relaxed);
        }
    }
}

/// A child of a fork at any moment: looks up as it is, without descriptors, and in another root.
fn child(kind: u64) -> ! {
    let mut reader = Reader::default();
    // SAFETY: these system calls change only this child.
    unsafe {
        match kind % 4 {
            1 => drop(libc::close_range(0, u32::MAX, 0)),
            2 => drop(libc::chroot(c"/proc/self/fdinfo".as_ptr())),
            3 => {
                // No descriptor is free: the limit is zero.
                let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
                libc::setrlimit(libc::RLIMIT_NOFILE, &raw const none);
            }
            _ => {}
        }
    }
    for _ in 0..500 {
        reader.look();
    }
    stage().counts.in_children.fetch_add(500, Relaxed);
    // SAFETY: ends this child at once.
    unsafe { libc::_exit(0) }
}

fn fork_children() {
    let counts = stage().counts;
    while !stage().stop.load(Relaxed) {
        let number = counts.children.fetch_add(1, Relaxed);
        // SAFETY: the child only makes lookups and system calls.
        match unsafe { libc::fork() } {
            0 => child(number),
            pid => {
                let mut status = 0;
                // SAFETY: our own child.
                unsafe { libc::waitpid(pid, &raw mut status, 0) };
                if pid < 0 || status != 0 {
                    counts.children_failed.fetch_add(1, Relaxed);
                }
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// How many mappings of tables this process has. A file without a descriptor: this runs beside somebody who closes all.
fn count_mappings(table: &str) {
    if let Ok(maps) = std::fs::read_to_string("/proc/self/maps") {
        let count = maps.lines().filter(|line| line.contains(table)).count();
        stage().counts.most_mappings.fetch_max(count as u64, Relaxed);
    }
}

pub(crate) fn run(module: &Path, table: &Path, time: Duration) {
    set_up(module, table);
    let stage = stage();
    let started = Instant::now();
    std::thread::scope(|scope| {
        let main = std::thread::current();
        for _ in 0..8 {
            let main = main.clone();
            scope.spawn(move || {
                let mut reader = Reader::default();
                while !stage.stop.load(Relaxed) {
                    reader.look();
                }
                main.unpark();
            });
        }
        scope.spawn(cancel_threads);
        scope.spawn(fork_children);
        let name = table.to_str().expect("a path");
        // On a busy machine longer, until there is something to count.
        while started.elapsed() < time || !stage.counts.suffice() && started.elapsed() < 20 * time {
            std::thread::sleep(Duration::from_millis(5));
            count_mappings(name);
            // Whatever is open, as daemons do. Standard error stays, to tell of failures.
            // SAFETY: nothing in this process needs a descriptor for longer than a moment.
            unsafe { libc::close_range(3, u32::MAX, 0) };
        }
        stage.stop.store(true, Relaxed);
    });
    report(stage.counts);
}

fn set_up(module: &Path, table: &Path) {
    // SAFETY: no other thread runs yet.
    unsafe { std::env::set_var("MESHER_TABLE", table) };
    let path = CString::new(module.as_os_str().as_bytes()).expect("a path");
    // SAFETY: the symbols have these types. The counts lie in fresh zeroed memory, shared with children and never
    // unmapped; zero is a value of all of them.
    unsafe {
        let handle = libc::dlopen(path.as_ptr(), libc::RTLD_NOW);
        assert!(!handle.is_null());
        let symbol = |name: &std::ffi::CStr| libc::dlsym(handle, name.as_ptr());
        let memory = libc::mmap(
            null_mut(),
            size_of::<Counts>(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        assert_ne!(memory, libc::MAP_FAILED);
        let stage = Stage {
            by_name4: std::mem::transmute::<*mut c_void, ByName4>(symbol(c"_nss_mesher_gethostbyname4_r")),
            by_address: std::mem::transmute::<*mut c_void, ByAddress>(symbol(c"_nss_mesher_gethostbyaddr_r")),
            names: (0..ALWAYS).map(|n| CString::new(format!("host-{n}.SOL")).expect("a name")).collect(),
            counts: &*memory.cast(),
            stop: AtomicBool::new(false),
        };
        assert!(STAGE.set(stage).is_ok());
        // Before the first lookup nothing is mapped; a process that can open nothing then has no table.
        Reader::default().look();
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_signal as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        assert_eq!(libc::sigaction(libc::SIGALRM, &raw const action, null_mut()), 0);
        let every = libc::timeval { tv_sec: 0, tv_usec: 500 };
        let timer = libc::itimerval { it_interval: every, it_value: every };
        assert_eq!(libc::setitimer(libc::ITIMER_REAL, &raw const timer, null_mut()), 0);
    }
}

fn report(counts: &Counts) {
    for (name, count) in [
        ("lookups", &counts.lookups),
        ("in_children", &counts.in_children),
        ("in_handlers", &counts.in_handlers),
        ("publications_seen", &counts.publications_seen),
        ("torn", &counts.torn),
        ("older", &counts.older),
        ("unavailable", &counts.unavailable),
        ("lost", &counts.lost),
        ("children", &counts.children),
        ("children_failed", &counts.children_failed),
        ("cancelled", &counts.cancelled),
        ("cancelled_inside", &counts.cancelled_inside),
        ("most_mappings", &counts.most_mappings),
    ] {
        println!("{name} {}", count.load(Relaxed));
    }
}
