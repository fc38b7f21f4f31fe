//! chitchat's transport over the port: it neither fails nor waits, since an error or a wait in either direction
//! would end or stall the gossip task.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chitchat::ChitchatMessage;
use chitchat::transport::{Socket, Transport};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::super::counters::Counters;
use super::super::port::PortCommand;
use super::super::wire::datagram::Channel;
use super::filter::Known;
use super::message::{DigestEntry, Member, Message};
use super::translate;

/// What chitchat's tasks and ours share.
pub(crate) struct Shared {
    pub(crate) port: mpsc::Sender<PortCommand>,
    pub(crate) known: Arc<Mutex<Known>>,
    pub(crate) counters: Arc<Counters>,
    /// This run of this node, as it last went out.
    pub(crate) own_run: Mutex<Option<DigestEntry>>,
    /// Exchanges that were asked for, beside chitchat's own rounds.
    asked: Mutex<HashMap<SocketAddr, u32>>,
    /// Who answered this run's messages last, and when: they know that this run is there.
    answered: Mutex<HashMap<SocketAddr, Instant>>,
    /// How often chitchat's task has come round: it waits for a message anew each time, at least once an interval.
    turns: AtomicU64,
    /// Makes chitchat's task hang with the next message that it sends.
    #[cfg(test)]
    pub(crate) hang: std::sync::atomic::AtomicBool,
    /// Of 2^32 exchanges that chitchat's rounds begin, how many go out.
    pass: AtomicU32,
}

impl Shared {
    pub(crate) fn new(
        port: mpsc::Sender<PortCommand>,
        known: Arc<Mutex<Known>>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            port,
            known,
            counters,
            own_run: Mutex::new(None),
            asked: Mutex::new(HashMap::new()),
            answered: Mutex::new(HashMap::new()),
            turns: AtomicU64::new(0),
            #[cfg(test)]
            hang: Default::default(),
            pass: AtomicU32::new(u32::MAX),
        }
    }

    /// This run of this node, as it last went out.
    pub(crate) fn own_run(&self) -> Option<DigestEntry> {
        *lock(&self.own_run)
    }

    /// Sets which part of chitchat's own rounds goes out, from 0 to 1.
    pub(crate) fn set_pass(&self, part: f64) {
        self.pass.store((part.clamp(0.0, 1.0) * f64::from(u32::MAX)) as u32, Ordering::Relaxed);
    }

    /// How often chitchat's task has come round.
    pub(crate) fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// Notes that the next exchange with `addr` was asked for.
    pub(crate) fn ask(&self, addr: SocketAddr) {
        let mut asked = lock(&self.asked);
        if asked.len() < 1024 {
            *asked.entry(addr).or_insert(0) += 1;
        }
    }

    /// Notes that `addr` answered a message of this run.
    pub(crate) fn note_answer(&self, addr: SocketAddr) {
        let mut answered = lock(&self.answered);
        if answered.len() < 4096 || answered.contains_key(&addr) {
            answered.insert(addr, Instant::now());
        }
    }

    /// Who answered a message of this run within this time.
    pub(crate) fn answered_within(&self, time: Duration) -> HashSet<SocketAddr> {
        let mut answered = lock(&self.answered);
        answered.retain(|_, at| at.elapsed() < time);
        answered.keys().copied().collect()
    }

    fn was_asked(&self, addr: SocketAddr) -> bool {
        let mut asked = lock(&self.asked);
        let Some(times) = asked.get_mut(&addr) else { return false };
        *times -= 1;
        if *times == 0 {
            asked.remove(&addr);
        }
        true
    }

    fn may_begin(&self, addr: SocketAddr) -> bool {
        if self.was_asked(addr) {
            return true;
        }
        let pass = self.pass.load(Ordering::Relaxed);
        pass == u32::MAX || getrandom::u32().unwrap_or(0) < pass
    }

    fn send(&self, to: SocketAddr, message: &Message) {
        if matches!(message, Message::Syn { .. }) && !self.may_begin(to) {
            return;
        }
        let own = lock(&self.own_run).map(|own| own.member);
        if let Some(entry) = message.digest().iter().find(|entry| Some(entry.member) == own) {
            *lock(&self.own_run) = Some(*entry);
        }
        let node = lock(&self.known).node_at(to);
        let (bytes, _) = message.encode();
        self.counters.carrier_messages_sent.add(1);
        self.counters.carrier_bytes_sent.add(bytes.len() as u64);
        let command = PortCommand::Send { to, node, channel: Channel::Carrier, bytes: bytes.into() };
        if self.port.try_send(command).is_err() {
            self.counters.send_dropped.add(1);
        }
    }

    /// A new run of this node begins.
    pub(crate) fn begin_run(&self, member: Member) {
        *lock(&self.own_run) = Some(DigestEntry { member, heartbeat: 0, max_version: 0 });
        lock(&self.asked).clear();
        lock(&self.answered).clear();
        #[cfg(test)]
        self.hang.store(false, Ordering::Relaxed);
    }
}

/// A poisoned lock means that chitchat's task panicked while it held it; the data are plain values.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives chitchat its one socket.
pub(crate) struct CarrierTransport {
    pub(crate) shared: Arc<Shared>,
    pub(crate) inbox: Mutex<Option<mpsc::Receiver<(SocketAddr, ChitchatMessage)>>>,
}

#[async_trait::async_trait]
impl Transport for CarrierTransport {
    async fn open(&self, _: SocketAddr) -> anyhow::Result<Box<dyn Socket>> {
        let inbox =
            lock(&self.inbox).take().ok_or_else(|| anyhow::anyhow!("the transport was opened before"))?;
        Ok(Box::new(CarrierSocket { shared: Arc::clone(&self.shared), inbox }))
    }
}

struct CarrierSocket {
    shared: Arc<Shared>,
    inbox: mpsc::Receiver<(SocketAddr, ChitchatMessage)>,
}

#[async_trait::async_trait]
impl Socket for CarrierSocket {
    async fn send(&mut self, to: SocketAddr, message: ChitchatMessage) -> anyhow::Result<()> {
        #[cfg(test)]
        if self.shared.hang.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        match translate::from_chitchat(&message) {
            Ok(Some(message)) => self.shared.send(to, &message),
            Ok(None) => {}
            Err(error) => log::error!("the carrier wants to send what it should not have: {error}"),
        }
        Ok(())
    }

    /// Cancel-safe, since receiving from a channel is.
    async fn recv(&mut self) -> anyhow::Result<(SocketAddr, ChitchatMessage)> {
        self.shared.turns.fetch_add(1, Ordering::Relaxed);
        match self.inbox.recv().await {
            Some(received) => Ok(received),
            // The other end is gone only when the daemon shuts down; an error would be taken for a fault.
            None => std::future::pending().await,
        }
    }
}
