//! Two nodes that share topics through a Redis server: one is published to, and the other one is measured.

use std::process::{Command, Stdio};

use crate::Result;
use crate::child::{Running, pinned};
use crate::load::{Beside, Cost};
use crate::redis::Redis;
use crate::run::{Conditions, load_of};
use crate::server::{Server, Setting};
use crate::workload::Workload;

/// Measures the node that delivers. It has a processor for itself: the other node, Redis and the load share the other.
pub(crate) fn measure(
    conditions: &Conditions<'_>,
    server: &Server,
    workload: &Workload,
) -> Result<Cost> {
    let [for_server, for_load] = *conditions.processors else {
        return Err("two processors are wanted".to_owned());
    };
    let redis = Redis::start(for_load)?;
    let setting = Setting {
        redis: Some(redis.addr()),
        ..workload.setting
    };
    let command = server.command(&setting)?;
    let publishing = Node::start(for_load, &command)?;
    let receiving = Node::start(for_server, &command)?;
    let mut load = load_of(
        conditions,
        &receiving.addr,
        receiving.running.id(),
        workload,
        server.dialect(),
    )?;
    load.args(Beside::arguments(
        (redis.addr(), redis.pid()),
        (&publishing.addr, publishing.running.id()),
    ));
    crate::child::cost(for_load, &load)
}

/// A node, and its address.
struct Node {
    running: Running,
    addr: String,
}

impl Node {
    fn start(processor: u32, command: &Command) -> Result<Self> {
        let mut running = pinned(processor, command, Stdio::inherit())?;
        let addr = running.first_line()?;
        match addr.is_empty() {
            true => Err("it does not start".to_owned()),
            false => Ok(Self { running, addr }),
        }
    }
}
