//! The tasks of the gossip layer, and what they are started with.

use std::net::UdpSocket;
use std::sync::{Arc, Mutex};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::addresses::normalise;
use super::bootstrap::{Bootstrap, TOLD_EVERY};
use super::carrier::filter::{Filter, Known};
use super::carrier::intake::Intake;
use super::carrier::message::MAX_RECORDS;
use super::carrier::socket::{Shared, lock};
use super::carrier::supervisor::{Command, Supervisor};
use super::counters::Counters;
use super::port::{Port, PortCommand};
use super::wire::Wire;
use super::{BootstrapNode, Event, Gate, GossipConfig, Secrets};
use crate::systemd::rate_limit::RateLimit;

/// Commands and messages that wait between tasks.
const QUEUE: usize = 1024;
const INBOUND: usize = 128;

/// The port, the intake, the supervisor and bootstrap: none of them ends while the layer runs.
const TASKS: usize = 4;

/// What the layer is started with, and started again.
pub(super) struct Origin {
    pub(super) config: GossipConfig,
    pub(super) socket: UdpSocket,
    pub(super) gate: Arc<dyn Gate>,
    pub(super) secrets: Mutex<Secrets>,
}

/// The running tasks, and how to tell them something. Clones share them; they end when all are gone.
#[derive(Clone)]
pub(super) struct Layer {
    pub(super) port: mpsc::Sender<PortCommand>,
    pub(super) carrier: mpsc::UnboundedSender<Command>,
    pub(super) bootstrap: Arc<watch::Sender<Vec<BootstrapNode>>>,
    tasks: Arc<tokio::sync::Mutex<JoinSet<()>>>,
}

impl Origin {
    /// Starts the tasks. What happens is told through the receiver.
    pub(super) fn start(&self, counters: Arc<Counters>) -> std::io::Result<(Layer, mpsc::Receiver<Event>)> {
        let config = self.config.clone();
        let wire = self.wire(&counters)?;
        self.socket.set_nonblocking(true)?;
        let socket = tokio::net::UdpSocket::from_std(self.socket.try_clone()?)?;
        let known = Arc::new(Mutex::new(Known::default()));
        let inbox = Arc::new(Mutex::new(None));
        let (port, port_commands) = mpsc::channel(QUEUE);
        let (inbound, inbound_messages) = mpsc::channel(INBOUND);
        let (carrier, commands) = mpsc::unbounded_channel();
        let (signal, signals) = mpsc::channel(INBOUND);
        let (event, events) = mpsc::channel(config.event_capacity.max(MAX_RECORDS));
        let (bootstrap, bootstrap_nodes) = watch::channel(config.bootstrap);
        let shared = Arc::new(Shared::new(port.clone(), Arc::clone(&known), Arc::clone(&counters)));

        let mut tasks = JoinSet::new();
        let port_task =
            Port { socket, wire, commands: port_commands, inbound, counters: Arc::clone(&counters) };
        tasks.spawn(port_task.run());
        let filter = Filter { own: config.node, gate: Arc::clone(&self.gate), known, counters };
        let intake = Intake {
            inbound: inbound_messages,
            events: event.clone(),
            filter,
            shared: Arc::clone(&shared),
            inbox: Arc::clone(&inbox),
            signals: signal,
        };
        tasks.spawn(intake.run());
        let supervisor = Supervisor {
            node: config.node,
            advertise: normalise(config.advertise),
            interval: config.interval,
            generations: config.generations,
            shared: Arc::clone(&shared),
            inbox,
            commands,
            signals,
            events: event,
            own: config.records.into_iter().collect(),
            state: Default::default(),
        };
        tasks.spawn(supervisor.run());
        let bootstrap_task = Bootstrap {
            nodes: bootstrap_nodes,
            resolver: config.resolver,
            port: port.clone(),
            carrier: carrier.clone(),
            shared,
            told: RateLimit::new(TOLD_EVERY, 256),
        };
        tasks.spawn(bootstrap_task.run());
        let tasks = Arc::new(tokio::sync::Mutex::new(tasks));
        Ok((Layer { port, carrier, bootstrap: Arc::new(bootstrap), tasks }, events))
    }

    fn wire(&self, counters: &Arc<Counters>) -> std::io::Result<Wire> {
        // The generator works from here on: Linux's fails only before it is seeded, at boot.
        getrandom::fill(&mut [0; 8]).map_err(std::io::Error::from)?;
        let random =
            Box::new(|bytes: &mut [u8]| getrandom::fill(bytes).expect("the kernel's generator, once seeded"));
        let now = tokio::time::Instant::now().into_std();
        let (config, secrets) = (&self.config, lock(&self.secrets).clone());
        Ok(Wire::new(now, config.node, &config.network, secrets, random, Arc::clone(counters)))
    }
}

impl Layer {
    /// Whether all tasks run: none ends while the layer runs, unless it panicked.
    pub(super) async fn is_whole(&self) -> bool {
        let mut tasks = self.tasks.lock().await;
        while let Some(ended) = tasks.try_join_next() {
            match ended {
                Ok(()) => log::error!("a task of the gossip layer has ended"),
                Err(error) => log::error!("a task of the gossip layer has ended: {error}"),
            }
        }
        tasks.len() == TASKS
    }

    /// Ends all tasks as they are.
    pub(super) async fn end(&self) {
        self.tasks.lock().await.shutdown().await;
    }
}
