//! The task that owns the UDP socket and runs the wire's state machine over it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};

use super::addresses::normalise;
use super::counters::Counters;
use super::node_id::NodeId;
use super::wire::datagram::{Channel, MAX_DATAGRAM};
use super::wire::{Heard, Inbound, Secrets, Wire};

/// Datagrams sent in one go, and the pause after them: a default socket buffer holds about ninety of ours.
const BURST: usize = 32;
const PAUSE: Duration = Duration::from_millis(1);

/// Datagrams read in one go before other work gets a turn.
pub(super) const READS: usize = 64;

/// What the rest of the daemon asks of the port.
pub(crate) enum PortCommand {
    Send {
        to: SocketAddr,
        node: Option<NodeId>,
        channel: Channel,
        bytes: Arc<[u8]>,
    },
    SetSecrets(Secrets),
    Heard(oneshot::Sender<Vec<Heard>>),
    /// Sends what is ready, answers, and ends.
    Shutdown(oneshot::Sender<()>),
}

/// The socket, the wire, and where messages go.
pub(crate) struct Port {
    pub(crate) socket: UdpSocket,
    pub(crate) wire: Wire,
    pub(crate) commands: mpsc::Receiver<PortCommand>,
    /// Whole messages go here; one that does not fit is dropped, since waiting would stall the socket.
    pub(crate) inbound: mpsc::Sender<Inbound>,
    pub(crate) counters: Arc<Counters>,
}

impl Port {
    /// Runs until all senders of commands are gone.
    pub(crate) async fn run(mut self) {
        let v6 = self.socket.local_addr().is_ok_and(|addr| addr.is_ipv6());
        let mut buffer = [0u8; MAX_DATAGRAM + 1];
        let mut tick = Instant::now();
        let mut resume: Option<Instant> = None;
        loop {
            // By the clock and not by a timer: while datagrams come without a pause, timers may be late for long.
            let now = Instant::now();
            if resume.is_none_or(|resume| resume <= now) {
                resume = self.flush(v6).await;
            }
            if tick <= now {
                self.wire.tick(now.into_std());
                tick = self.wire.deadline(now.into_std()).into();
            }
            tick = tick.min(self.wire.deadline(now.into_std()).into());
            let wake = resume.map_or(tick, |resume| resume.min(tick));
            tokio::select! {
                received = self.socket.recv_from(&mut buffer) => match received {
                    // More waits: without a pause for the others, a flood would be all that this process does.
                    Ok((len, from)) => if self.receive(&mut buffer, len, from) { yield_now().await },
                    Err(error) => receive_failed(&error).await,
                },
                command = self.commands.recv() => match command {
                    Some(PortCommand::Shutdown(done)) => {
                        while self.flush(v6).await.is_some() {
                            tokio::time::sleep(PAUSE).await;
                        }
                        let _ = done.send(());
                        return;
                    }
                    Some(command) => self.command(command),
                    None => return,
                },
                () = sleep_until(wake) => {}
            }
        }
    }

    /// Takes in what has come. Says whether more may be waiting.
    fn receive(&mut self, buffer: &mut [u8; MAX_DATAGRAM + 1], len: usize, from: SocketAddr) -> bool {
        self.receive_one(&mut buffer[..len], from);
        for _ in 1..READS {
            let Ok((len, from)) = self.socket.try_recv_from(buffer) else { return false };
            self.receive_one(&mut buffer[..len], from);
        }
        true
    }

    fn receive_one(&mut self, datagram: &mut [u8], from: SocketAddr) {
        self.counters.datagrams_received.add(1);
        self.counters.bytes_received.add(datagram.len() as u64);
        let now = Instant::now().into_std();
        if let Some(message) = self.wire.receive(now, normalise(from), datagram)
            && self.inbound.try_send(message).is_err()
        {
            self.counters.events_full.add(1);
        }
    }

    fn command(&mut self, command: PortCommand) {
        let now = Instant::now().into_std();
        match command {
            PortCommand::Send { to, node, channel, bytes } => {
                let to = self.wire.route(now, normalise(to), node);
                self.wire.send(now, to, channel, bytes);
            }
            PortCommand::SetSecrets(secrets) => self.wire.set_secrets(secrets),
            // Whoever asked may have gone.
            PortCommand::Heard(answer) => {
                let _ = answer.send(self.wire.heard().collect());
            }
            PortCommand::Shutdown(done) => drop(done),
        }
    }

    /// Sends what the wire has ready; says when to go on if there is more than one burst.
    async fn flush(&mut self, v6: bool) -> Option<Instant> {
        for _ in 0..BURST {
            let (to, datagram) = self.wire.transmit()?;
            let to = match to.ip() {
                IpAddr::V4(ip) if v6 => SocketAddr::from((ip.to_ipv6_mapped(), to.port())),
                _ => to,
            };
            match self.socket.send_to(&datagram, to).await {
                Ok(len) => {
                    self.counters.datagrams_sent.add(1);
                    self.counters.bytes_sent.add(len as u64);
                }
                // No route, a family this socket does not speak, a full queue: all the same to gossip.
                Err(error) => {
                    self.counters.send_dropped.add(1);
                    log::debug!("cannot send to {to}: {error}");
                }
            }
        }
        Some(Instant::now() + PAUSE)
    }
}

/// Errors of receiving on an unconnected UDP socket pass; a pause keeps a lasting one from taking the processor.
async fn receive_failed(error: &io::Error) {
    log::debug!("cannot receive: {error}");
    tokio::time::sleep(Duration::from_millis(100)).await;
}
