//! What must not be taken for a table: whatever lies under its name, the answer is UNAVAIL, and it comes at once.

use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;

use abi_tests::{Module, Name, status, tables};
use libc::AF_INET;
use mesher_table::format;

const ENOUGH: usize = 4096;

/// A folder with a good table that is then spoilt; each case loads a module of its own.
fn is_answered(spoil: impl FnOnce(&Path)) -> bool {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hosts.table");
    drop(tables::publish(&path, &tables::sol()));
    spoil(&path);
    let module = Module::load(&path);
    let call = module.by_name(Name::Three(AF_INET), b"earth.sol", ENOUGH, 0);
    let again = module.by_name(Name::Three(AF_INET), b"earth.sol", ENOUGH, 0);
    assert_eq!(call.numbers(), again.numbers(), "the second answer is the first");
    match call.status {
        status::SUCCESS => true,
        _ => {
            assert_eq!(call.numbers(), (status::UNAVAIL, libc::ENOENT, 3));
            false
        }
    }
}

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("the table")
}

/// Puts other bytes in the table's place, as another file.
fn replace(path: &Path, bytes: &[u8]) {
    std::fs::remove_file(path).expect("removed");
    std::fs::write(path, bytes).expect("written");
}

fn set_word(path: &Path, word: usize, value: u32) {
    let mut all = bytes(path);
    all[word * 4..word * 4 + 4].copy_from_slice(&value.to_ne_bytes());
    replace(path, &all);
}

#[test]
fn a_good_table_is_answered() {
    assert!(is_answered(|_| {}));
    assert!(is_answered(|path| replace(path, &bytes(path))), "its copy too");
}

#[test]
fn other_kinds_of_files() {
    assert!(!is_answered(|path| std::fs::remove_file(path).expect("removed")), "missing");
    assert!(!is_answered(|path| replace(path, b"")), "empty");
    assert!(
        !is_answered(|path| {
            std::fs::remove_file(path).expect("removed");
            std::fs::create_dir(path).expect("made");
        }),
        "a directory"
    );
    assert!(
        !is_answered(|path| {
            let real = path.with_extension("real");
            std::fs::rename(path, &real).expect("renamed");
            symlink(&real, path).expect("linked");
        }),
        "a symbolic link"
    );
    assert!(
        !is_answered(|path| {
            std::fs::remove_file(path).expect("removed");
            assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo runs").success());
        }),
        "a FIFO, without waiting for its writer"
    );
    assert!(
        !is_answered(|path| {
            std::fs::remove_file(path).expect("removed");
            symlink("/dev/zero", path).expect("linked");
        }),
        "a device"
    );
    assert!(
        !is_answered(|path| {
            // A file without a name, sealed against every change, is reached by a link of the kernel's only.
            let table = bytes(path);
            // SAFETY: the name is a string; the descriptor is given to nobody else, and closed with this process.
            let mut memory = unsafe {
                let fd = libc::memfd_create(c"table".as_ptr(), libc::MFD_ALLOW_SEALING);
                <std::fs::File as std::os::fd::FromRawFd>::from_raw_fd(fd)
            };
            std::io::Write::write_all(&mut memory, &table).expect("written");
            let fd = std::os::fd::IntoRawFd::into_raw_fd(memory);
            let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE | libc::F_SEAL_SEAL;
            // SAFETY: our own descriptor.
            assert_eq!(unsafe { libc::fcntl(fd, libc::F_ADD_SEALS, seals) }, 0);
            std::fs::remove_file(path).expect("removed");
            symlink(format!("/proc/{}/fd/{fd}", std::process::id()), path).expect("linked");
        }),
        "sealed memory"
    );
    assert!(!is_answered(
        |path| std::fs::set_permissions(path, PermissionsExt::from_mode(0o666)).expect("set")
    ));
    assert!(!is_answered(
        |path| std::fs::set_permissions(path, PermissionsExt::from_mode(0o664)).expect("set")
    ));
}

#[test]
fn sizes_that_do_not_fit() {
    for keep in [1, 4, 100, 127, 128, 129, 4096, 65_535] {
        assert!(!is_answered(|path| replace(path, &bytes(path)[..keep])), "truncated to {keep} bytes");
    }
    assert!(!is_answered(|path| replace(path, &[bytes(path), vec![0; 4]].concat())), "longer than it says");
    assert!(
        !is_answered(|path| {
            // As long as it says, and whole where the answer lies, but with a hole before that: reading one could raise SIGBUS.
            replace(path, &bytes(path));
            let file = std::fs::File::options().write(true).open(path).expect("open");
            let punch = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
            let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
            // SAFETY: our own descriptor.
            assert_eq!(unsafe { libc::fallocate(fd, punch, 4096, 16_384) }, 0, "no hole can be punched here");
        }),
        "sparse"
    );
}

#[test]
fn headers_that_do_not_fit() {
    for (word, value) in [
        (format::H_MAGIC, 0),
        (format::H_MAGIC + 1, 1),
        (format::H_ORDER, format::ORDER_MARK.swap_bytes()),
        (format::H_VERSION, 0),
        (format::H_VERSION, format::VERSION + 1),
        (format::H_FILE_WORDS, 0),
        (format::H_FILE_WORDS, u32::MAX),
        (format::H_ARENA_WORDS, 0),
        (format::H_ARENA_WORDS, 16),
        (format::H_ARENA_WORDS, u32::MAX),
        (format::H_ACTIVE, 0),
        (format::H_ACTIVE, 7),
        (format::H_SEQ, 9),
        (format::H_DEADLINE, 0),
        (format::H_DEADLINE, u32::MAX - 1),
    ] {
        assert!(!is_answered(|path| set_word(path, word, value)), "word {word} = {value}");
    }
    assert!(is_answered(|path| set_word(path, format::H_DEADLINE, u32::MAX)), "a table without a lease");
    assert!(is_answered(|path| set_word(path, format::H_SEQ, 2)), "a publication begun and never finished");
    assert!(is_answered(|path| set_word(path, format::H_SUPERSEDED, 1)), "superseded, with nothing after it");
}

/// Every word of the directory and of the first records, set to every kind of wrong value: any answer but a crash.
#[test]
fn no_single_word_can_do_harm() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hosts.table");
    drop(tables::publish(&path, &tables::sol()));
    let file = std::fs::File::options().read(true).write(true).open(&path).expect("open");
    let whole = bytes(&path);
    let module = Module::load(&path);
    // Publication 1 lies in the second arena.
    let arena_words = (whole.len() / 4 - format::HEADER_WORDS) / 2;
    let start = format::HEADER_WORDS + arena_words;
    let mut answers = 0;
    for word in start..start + 400 {
        for value in [0, 1, 7, 0x7fff_ffff, 0x8000_0000, u32::MAX, 0x0fff_ffff, 0x2000_3fff] {
            use std::os::unix::fs::FileExt;
            let at = word as u64 * 4;
            file.write_all_at(&u32::to_ne_bytes(value), at).expect("written");
            for name in ["earth.sol", "earth", "crowd.sol", "moon.earth.sol", "mars.sol"] {
                answers +=
                    u32::from(module.by_name4(name.as_bytes(), ENOUGH, 1, false).status == status::SUCCESS);
                module.by_name(Name::Two(libc::AF_INET6), name.as_bytes(), ENOUGH, 3);
            }
            module.by_address(AF_INET, &[10, 0, 0, 1], ENOUGH, 0);
            module.by_address(libc::AF_INET6, &tables::v6(1).octets(), ENOUGH, 0);
            module.rewind();
            for _ in 0..4 {
                module.next(ENOUGH, 5);
            }
            file.write_all_at(&whole[word * 4..word * 4 + 4], at).expect("written");
        }
    }
    assert!(answers > 0, "the undamaged names are still answered");
    assert_eq!(
        module.by_name(Name::One, b"earth.sol", ENOUGH, 0).status,
        status::SUCCESS,
        "nothing stays behind"
    );
}

/// Runs as another user than the file's; needs root, because only root can give files away.
#[test]
fn the_owner_must_be_root_the_user_or_the_directorys() {
    // SAFETY: always succeeds.
    if unsafe { libc::geteuid() } != 0 {
        assert!(std::env::var_os("CI").is_none(), "this test needs root, to give files to other users");
        eprintln!("not run: it needs root, to give files to other users");
        return;
    }
    let (daemon, stranger) = (4242, 4343);
    let folder = |path: &Path| path.parent().expect("a folder").to_owned();
    let give = |path: &Path, user| chown(path, Some(user), Some(user)).expect("given");
    assert!(!is_answered(|path| give(path, stranger)), "a stranger's file in root's folder");
    assert!(
        is_answered(|path| {
            give(path, daemon);
            give(&folder(path), daemon);
        }),
        "the daemon's file in the daemon's folder"
    );
    assert!(
        !is_answered(|path| {
            give(path, stranger);
            give(&folder(path), daemon);
        }),
        "a stranger's file in the daemon's folder"
    );
    assert!(
        !is_answered(|path| {
            give(path, daemon);
            give(&folder(path), daemon);
            std::fs::set_permissions(folder(path), PermissionsExt::from_mode(0o777)).expect("set");
        }),
        "a folder in which everybody can make files proves nothing"
    );
    assert!(
        is_answered(|path| {
            std::fs::set_permissions(folder(path), PermissionsExt::from_mode(0o1777)).expect("set");
        }),
        "root's own file is root's file wherever it lies"
    );
}
