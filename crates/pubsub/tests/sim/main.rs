//! A simulation of hubs, an engine of two servers, links that break, and clients that return with their positions. Each run
//! is drawn from a seed and judged by the checker of the engine kit. `SOCKEYE_SEED=7` repeats a run and prints what
//! happened. `SOCKEYE_SIM_SECONDS=60` runs new seeds for so long, and `SOCKEYE_SIM_FIRST=7` with `SOCKEYE_SIM_COUNT=100`
//! the hundred seeds from 7 on. `SOCKEYE_SIM_FULL=1` wants each row of the hub's table
//! to be taken a hundred times.

#![expect(clippy::print_stdout, reason = "it reports what it ran")]

mod client;
mod links;
mod memory;
mod node;
mod publish;
mod random;
mod schedule;
mod world;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use sockeye_engine_kit::checker::{self, Bounds};
use sockeye_pubsub::hub::Row;

use crate::schedule::{END, FAULTS_END, SETTLED, Step};
use crate::world::{MS, World};

/// The number of schedules that each test run tries.
const SCHEDULES: u64 = 500;
/// The number of schedules of a full run.
const FULL_SCHEDULES: u64 = 20_000;
/// How often each row has to be taken in a full run.
const FULL: u64 = 100;

/// What a run showed.
struct Report {
    violations: Vec<String>,
    rows: BTreeMap<Row, u64>,
    trace: Option<Vec<String>>,
}

/// Runs the steps of a seed.
fn run(seed: u64, steps: &[(memory::Time, Step)], has_trace: bool) -> Report {
    let mut world = World::new(seed, Instant::now());
    world.trace = has_trace.then(Vec::new);
    if schedule::has_quiet_loss(steps) || seed.is_multiple_of(4) {
        world.turn = Duration::from_secs(8);
    }
    for node in 0..3 {
        world.start_node(node);
    }
    for client in 0..world.clients.len() {
        world.connect_client(client, client % 3);
    }
    for &(at, step) in steps {
        world.at(at, move |world| world.step(step));
    }
    world.at(FAULTS_END, World::heal);
    world.run_until(SETTLED);
    world.settle();
    world.run_until(SETTLED + MS);
    world.reconnect_all();
    world.run_until(END);
    world.settle();
    for desk in &world.desks {
        for (row, count) in desk.take_rows() {
            *world.rows.entry(row).or_default() += count;
        }
    }
    let bounds = Bounds {
        delivery: 10_000,
        ..Bounds::default()
    };
    let violations = checker::check(&world.logs, &bounds);
    Report {
        violations: violations.iter().map(ToString::to_string).collect(),
        rows: world.rows,
        trace: world.trace,
    }
}

/// Runs seeds until one fails. Returns how often each row was taken.
fn run_all(seeds: impl Iterator<Item = u64>) -> BTreeMap<Row, u64> {
    let mut rows = BTreeMap::new();
    let started = Instant::now();
    for seed in seeds {
        let steps = schedule::draw(seed);
        let report = run(seed, &steps, false);
        if !report.violations.is_empty() {
            println!("seed {seed} fails after {:?}", started.elapsed());
            fail(seed, steps);
        }
        for (row, count) in report.rows {
            *rows.entry(row).or_default() += count;
        }
    }
    rows
}

/// Leaves out the steps that a failing run does not need, and says what is wrong.
fn fail(seed: u64, mut steps: Vec<(memory::Time, Step)>) -> ! {
    let all = run(seed, &steps, false).violations;
    let end = Instant::now() + Duration::from_secs(20);
    let mut size = steps.len() / 2;
    while size > 0 {
        let mut from = 0;
        while from < steps.len() && Instant::now() < end {
            let mut fewer = steps.clone();
            fewer.drain(from..(from + size).min(steps.len()));
            if run(seed, &fewer, false).violations.is_empty() {
                from += size;
            } else {
                steps = fewer;
            }
        }
        size /= 2;
    }
    let short = run(seed, &steps, true);
    let mut text = format!("seed {seed} fails:\n{}\n", all.join("\n"));
    let _ = writeln!(text, "\nThe same with fewer steps:");
    for (at, step) in &steps {
        let _ = writeln!(text, "{at:>9} {step:?}");
    }
    let _ = writeln!(text, "\n{}", short.violations.join("\n"));
    if std::env::var_os("SOCKEYE_SEED").is_some() {
        let _ = writeln!(text, "\n{}", short.trace.unwrap_or_default().join("\n"));
    }
    let _ = writeln!(
        text,
        "\nRepeat it by: SOCKEYE_SEED={seed} cargo test -p sockeye-pubsub --test sim"
    );
    panic!("{text}");
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number")),
    )
}

fn print(rows: &BTreeMap<Row, u64>) {
    for row in Row::ALL {
        println!("{:>10} {row:?}", rows.get(row).copied().unwrap_or_default());
    }
}

#[test]
fn seeds_that_failed_once_hold() {
    let seeds = include_str!("regressions.txt");
    let seeds = seeds.lines().filter(|line| !line.starts_with('#'));
    run_all(seeds.filter_map(|line| line.split_whitespace().next()?.parse().ok()));
}

#[test]
fn sim_schedules_hold() {
    if let Some(seed) = number("SOCKEYE_SEED") {
        print(&run_all(std::iter::once(seed)));
        return;
    }
    let mut rows = BTreeMap::new();
    let mut add = |more: BTreeMap<Row, u64>| {
        for (row, count) in more {
            *rows.entry(row).or_default() += count;
        }
    };
    let started = Instant::now();
    let is_full = std::env::var_os("SOCKEYE_SIM_FULL").is_some();
    let mut count = if is_full { FULL_SCHEDULES } else { SCHEDULES };
    if let Some((first, many)) = number("SOCKEYE_SIM_FIRST").zip(number("SOCKEYE_SIM_COUNT")) {
        println!("seeds from {first} on");
        count = many;
        add(run_all(first..first.saturating_add(many)));
    } else if let Some(seconds) = number("SOCKEYE_SIM_SECONDS") {
        let first = u64::from(std::process::id()) << 32 | u64::from(started_at());
        println!("seeds from {first} on");
        count = 0;
        while started.elapsed() < Duration::from_secs(seconds) {
            add(run_all(first + count..first + count + 10));
            count += 10;
        }
    } else {
        add(run_all(0..count));
    }
    println!("{count} schedules in {:?}", started.elapsed());
    print(&rows);
    if is_full {
        let rare = |row: &&Row| rows.get(row).copied().unwrap_or_default() < FULL;
        let rare: Vec<&Row> = Row::ALL.iter().filter(rare).collect();
        assert!(
            rare.is_empty(),
            "rows taken less than {FULL} times: {rare:?}"
        );
    }
}

/// Returns the time in nanoseconds of its second, for new seeds.
fn started_at() -> u32 {
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |time| time.subsec_nanos())
}
