//! Callers who take more than their share: of connections, of time, of memory.

use std::io::{BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use mesher_control::Call;
use mesher_control::types::Watched;
use mesherd::control::{AccessPolicy, Limits};
use nix::poll::{PollFd, PollFlags, PollTimeout};

use crate::SOON;
use crate::server::{Running, change, patient};

#[test]
fn changes_are_streamed_and_missed_ones_are_counted() {
    let running = Running::by_hand();
    let mut stream = running.client().stream::<Watched>(&Call::Watch {}).unwrap();
    assert_eq!(stream.next().unwrap().unwrap(), Watched { change: None, missed: 0 });
    running.changes.send(change("first")).unwrap();
    assert_eq!(stream.next().unwrap().unwrap().change, Some(change("first")));

    // A caller that reads nothing: the socket fills up, then the daemon's own buffer of four runs over. Nobody waits.
    let long = "x".repeat(100_000);
    for _ in 0..100 {
        running.changes.send(change(&long)).unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
    running.assert_serves("while a watcher does not read");
    // What was sent is either seen or counted: nothing is lost in silence.
    let (mut seen, mut missed) = (0, 0);
    while seen + missed < 100 {
        let watched = stream.next().unwrap().unwrap();
        missed += watched.missed;
        seen += u64::from(watched.change.is_some());
    }
    assert_eq!(seen + missed, 100);
    assert!(missed > 10, "{missed}");
    drop(stream);
    running.assert_serves("after a watcher has hung up");
}

#[test]
fn a_thousand_idle_connections_hurt_nobody() {
    let running = Running::by_hand();
    let mut open = Vec::new();
    for number in 0..1_000 {
        open.push(running.raw());
        if number % 100 == 99 {
            running.assert_serves(&format!("with {number} connections open"));
        }
    }
    let is_open = |stream: &mut UnixStream| {
        stream.set_nonblocking(true).unwrap();
        stream.read(&mut [0; 1]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    };
    let begun = Instant::now();
    loop {
        let stay_open = open.iter_mut().filter_map(|stream| is_open(stream).then_some(())).count();
        if (100..=256).contains(&stay_open) {
            break;
        }
        assert!(begun.elapsed() < SOON, "{stay_open} of 1,000 stay open");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_thousand_half_requests_hurt_nobody_and_end_in_time() {
    // Long enough that whoever sends a whole request gets it there, on a busy machine too.
    let request_time = Duration::from_secs(5);
    let limits = Limits { connections: 2_000, connections_per_user: 2_000, request_time, ..patient() };
    let running = Running::start(AccessPolicy::by_hand(), limits);
    let begun = Instant::now();
    let mut open: Vec<UnixStream> = (0..400)
        .map(|_| {
            let mut stream = running.raw();
            stream.write_all(br#"{"method":"org.datamesher.mesherd.St"#).unwrap();
            stream
        })
        .collect();
    running.assert_serves("with half requests");
    // Sending on, byte by byte, gains no time.
    let mut slow = running.raw();
    let slow_end = loop {
        if slow.write_all(b" ").is_err() {
            break begun.elapsed();
        }
        assert!(begun.elapsed() < SOON, "a slow sender is never dropped");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(slow_end >= request_time);
    for stream in &mut open {
        assert_eq!(stream.read(&mut [0; 8]).unwrap_or(0), 0, "half a request stays open");
    }
    running.assert_serves("after half requests");
}

#[test]
fn a_request_that_never_ends_is_cut_off() {
    let running = Running::by_hand();
    let mut stream = running.raw();
    let chunk = vec![b'a'; 64 * 1024];
    let mut sent = 0;
    while stream.write_all(&chunk).is_ok() {
        sent += chunk.len();
        assert!(sent < 16 * 1024 * 1024, "the server takes it all");
    }
    running.assert_serves("after an endless request");
}

#[test]
fn callers_who_do_not_read_their_replies_cost_a_bounded_sum() {
    let limits = Limits { reply_bytes: 8 * 1024 * 1024, ..patient() };
    let running = Running::start(AccessPolicy::by_hand(), limits);
    // Each asks for two megabytes and reads none of them. Four find room; the others are hung up on.
    let mut lazy: Vec<UnixStream> = (0..12)
        .map(|_| {
            let mut stream = running.raw();
            stream.write_all(b"{\"method\":\"org.datamesher.mesherd.Names\"}\0").unwrap();
            stream
        })
        .collect();
    // Nobody reads before the others have been hung up on: each reply that is taken makes room for another.
    let begun = Instant::now();
    while lazy.iter().filter(|stream| is_hung_up(stream)).count() < 7 {
        assert!(begun.elapsed() < SOON, "callers who do not read are all waited for");
        std::thread::sleep(Duration::from_millis(20));
    }
    running.assert_serves("with replies not taken");
    let complete = lazy.iter_mut().filter_map(|stream| {
        stream.set_read_timeout(Some(SOON)).unwrap();
        // To the end of the reply or of the connection, whichever comes first: a reply that was taken leaves it open.
        let mut bytes = BufReader::new(stream).bytes();
        matches!(bytes.find(|byte| !matches!(byte, Ok(1..))), Some(Ok(0))).then_some(())
    });
    let complete = complete.count();
    assert!((1..=5).contains(&complete), "{complete} of 12 were kept waiting for");
}

/// Whether the other end has closed the connection, whatever is still to be read from it.
fn is_hung_up(stream: &UnixStream) -> bool {
    let mut polled = [PollFd::new(stream.as_fd(), PollFlags::empty())];
    nix::poll::poll(&mut polled, PollTimeout::ZERO).unwrap();
    polled[0].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP))
}
