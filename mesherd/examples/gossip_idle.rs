//! What gossip costs: nodes on loopback addresses in one process. Prints the traffic and processor time of a quiet
//! node, and how long a changed record takes to the other nodes.
//!
//! `cargo run --release --example gossip_idle -- [NODES] [SECONDS]`

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mesherd::gossip::{
    BootstrapNode, Event, Gate, Generations, Gossip, GossipConfig, GossipHandle, NodeId, Secrets, Verdict,
    bind,
};
use tokio::sync::mpsc::Receiver;

struct One;

impl Generations for One {
    fn next(&self) -> io::Result<u64> {
        Ok(1_800_000_000_000)
    }
}

struct Open;

impl Gate for Open {
    fn admit(&self, _: NodeId, _: &str, _: &str) -> Verdict {
        Verdict::Admit
    }
}

type Node = (GossipHandle, Receiver<Event>);

fn start(n: u16, bootstrap: SocketAddr) -> Node {
    let [high, low] = n.to_be_bytes();
    let socket = bind(SocketAddr::from(([127, 1, high, low], 17946))).expect("the address is free");
    let mut id = [7; 8];
    id[..2].copy_from_slice(&[high, low]);
    let advertise = socket.local_addr().expect("the socket is bound");
    let mut config = GossipConfig::new(NodeId::from_bytes(id), advertise, Arc::new(One));
    config.bootstrap = vec![BootstrapNode::Addr(bootstrap)];
    config.records = (0..5).map(|n| (format!("c/name{n}"), "v".repeat(300))).collect();
    let secrets = Secrets::new([[1; 32]]).expect("one secret");
    Gossip::start(config, socket, secrets, Arc::new(Open)).expect("gossip starts")
}

/// Processor time of this process, in seconds: fields 14 and 15 of proc_pid_stat(5), in ticks of 10 ms.
fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    fields[11..13].iter().filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or("").to_owned()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|argument| argument.parse::<u64>().ok());
    let (count, seconds) = (arguments.next().unwrap_or(3), arguments.next().unwrap_or(60));
    let first = SocketAddr::from(([127, 1, 0, 1], 17946));
    let began = Instant::now();
    let mut nodes: Vec<Node> = (1..=count as u16).map(|n| start(n, first)).collect();
    for (_, events) in &mut nodes {
        let mut known = std::collections::HashSet::new();
        while known.len() < (count as usize - 1) * 5 {
            if let Some(Event::Record { node, key, .. }) = events.recv().await {
                known.insert((node, key));
            }
        }
    }
    println!("{count} nodes knew all records of all after {:?}", began.elapsed());
    tokio::time::sleep(Duration::from_secs(10)).await;
    let sum = |nodes: &[Node]| {
        nodes.iter().map(|(handle, _)| handle.counters()).fold((0, 0), |(bytes, datagrams), counters| {
            (bytes + counters.bytes_sent, datagrams + counters.datagrams_sent)
        })
    };
    let (before, processor) = (sum(&nodes), processor_time());
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let (after, used) = (sum(&nodes), processor_time() - processor);
    let each = |total: u64| total as f64 / count as f64 / seconds as f64;
    println!(
        "quiet, a node: {:.0} bytes/s and {:.1} datagrams/s sent",
        each(after.0 - before.0),
        each(after.1 - before.1)
    );
    println!(
        "quiet, a node: {:.3} % of a processor; all nodes: {}",
        used / count as f64 / seconds as f64 * 100.0,
        resident()
    );
    let mut times = Vec::new();
    for round in 0..20 {
        tokio::time::sleep(Duration::from_millis(1300)).await;
        nodes.iter_mut().for_each(|(_, events)| while events.try_recv().is_ok() {});
        let value = format!("round {round}");
        let changed = Instant::now();
        nodes[0].0.set("c/name0", value.clone()).expect("a fit record");
        for (_, events) in &mut nodes[1..] {
            while !matches!(events.recv().await, Some(Event::Record { value: v, .. }) if v == value) {}
        }
        times.push(changed.elapsed());
    }
    times.sort();
    println!("a changed record at all nodes: median {:?}, longest {:?}", times[10], times[19]);
}
