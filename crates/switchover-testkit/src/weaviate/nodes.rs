//! Several servers that are one cluster, on this machine.
//!
//! Invariants: each node is a process with a folder and ports of its own, so one can be killed and started again while the
//! others go on; the first is the one by which the others find the cluster, and a test that kills a node kills another.
//! Absent on purpose: TLS between the nodes, and a cluster that outlives its test.

use std::collections::HashSet;
use std::thread;
use std::time::Instant;

use super::{ASK_EVERY, Builder, PORT_TRIES, START_MAX, Weaviate, free_ports};
use crate::{Error, Result};

/// Where in a node's ports stand those that the others ask.
const GOSSIP: usize = 2;
const RAFT: usize = 4;

/// Which node of a cluster a server is.
#[derive(Debug, Clone)]
pub(super) struct Member {
    name: String,
    /// Where a node is that knows the others; the first one knows nobody.
    join: Option<String>,
    /// Each node and its port for agreement.
    agree: String,
    count: usize,
}

/// What a server is told about its cluster.
pub(super) fn settings(member: Option<&Member>) -> Vec<(String, String)> {
    let alone = Member { name: "node1".into(), join: None, agree: String::new(), count: 1 };
    let Member { name, join, agree, count } = member.unwrap_or(&alone);
    let mut pairs = vec![("CLUSTER_HOSTNAME", name.clone()), ("RAFT_BOOTSTRAP_EXPECT", count.to_string())];
    pairs.extend(join.clone().map(|place| ("CLUSTER_JOIN", place)));
    pairs.extend((*count > 1).then(|| ("RAFT_JOIN", agree.clone())));
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The nodes of a cluster.
#[derive(Debug)]
pub struct Nodes(Vec<Weaviate>);

impl Nodes {
    /// Starts so many nodes with these options, and waits until all are ready.
    pub fn start(count: usize, options: &Builder) -> Result<Nodes> {
        let mut last = None;
        for _ in 0..PORT_TRIES {
            match Nodes::attempt(count, options) {
                Err((error, true)) => last = Some(error),
                Err((error, false)) => return Err(error),
                Ok(nodes) => return Ok(nodes),
            }
        }
        Err(last.unwrap_or_else(|| Error::new("the cluster does not start", "no port was free")))
    }

    /// Starts them; an error comes with whether it was for a port that another process took.
    fn attempt(count: usize, options: &Builder) -> Result<Nodes, (Error, bool)> {
        let definite = |error| (error, false);
        let ports = distinct(count).map_err(definite)?;
        let agree: Vec<String> =
            ports.iter().enumerate().map(|(at, ports)| format!("{}:{}", name(at), ports[RAFT])).collect();
        let mut nodes = Nodes(Vec::new());
        for at in 0..count {
            let join = (at > 0).then(|| format!("127.0.0.1:{}", ports[0][GOSSIP]));
            let member = Member { name: name(at), join, agree: agree.join(","), count };
            let options = Builder { member: Some(member), ..options.clone() };
            let mut node = options.unstarted().map_err(definite)?;
            node.use_ports(ports[at].clone());
            node.spawn().map_err(definite)?;
            nodes.0.push(node);
        }
        // None is ready before enough of them agree.
        for at in 0..count {
            let ready = nodes.0[at].await_ready();
            ready.map_err(|error| (error, nodes.0.iter().any(Weaviate::lost_a_port)))?;
        }
        Ok(nodes)
    }

    /// One of them, from zero.
    pub fn node(&mut self, at: usize) -> &mut Weaviate {
        &mut self.0[at]
    }

    /// Waits until each node knows all of them: one that was started again and has not heard of another yet takes those that it knows
    /// for all that there are.
    pub fn await_whole(&self) -> Result<()> {
        let begun = Instant::now();
        let knows_all = |node: &Weaviate| {
            let asked = node.rest("GET", "/v1/nodes", "");
            asked.is_ok_and(|(_, known)| known.matches("\"HEALTHY\"").count() == self.0.len())
        };
        while !self.0.iter().all(knows_all) {
            if begun.elapsed() > START_MAX {
                return Err(Error::new(
                    "the cluster does not come together",
                    "a node does not know the others",
                ));
            }
            thread::sleep(ASK_EVERY);
        }
        Ok(())
    }

    /// The URL with all of them, in this order.
    pub fn url(&self, order: &[usize]) -> String {
        let hosts: Vec<String> =
            order.iter().map(|at| format!("127.0.0.1:{}", self.0[*at].http_port())).collect();
        let grpc: Vec<String> = order.iter().map(|at| self.0[*at].grpc_port().to_string()).collect();
        format!("weaviate://{}?grpc={}", hosts.join(","), grpc.join(","))
    }
}

fn name(at: usize) -> String {
    format!("node{}", at + 1)
}

/// Ports for each node, no two alike.
fn distinct(count: usize) -> Result<Vec<Vec<u16>>> {
    let mut taken = HashSet::new();
    let mut all = Vec::new();
    for _ in 0..PORT_TRIES * count {
        let ports = free_ports()?;
        if ports.iter().any(|port| taken.contains(port)) {
            continue;
        }
        taken.extend(ports.iter().copied());
        all.push(ports);
        if all.len() == count {
            return Ok(all);
        }
    }
    Err(Error::new("no ports are free for the cluster", "of many that were tried"))
}
