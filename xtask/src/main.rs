//! The project's commands: `cargo xtask COMMAND`. They need Rust and nothing else, except for the
//! judges of `conformance`, which install what they need.

#![expect(
    clippy::print_stdout,
    reason = "steps and their times are what this program is for"
)]

mod cargo;
mod faults;
mod fuzz;
mod mutants;
mod steps;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::steps::Steps;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let root = workspace_root();
    let mut steps = Steps::default();
    let outcome = dispatch(&arguments, &root, &mut steps);
    steps.print_times();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String], root: &Path, steps: &mut Steps) -> Result<()> {
    let Some((command, rest)) = arguments.split_first() else {
        return Err(format!("no command given\n\n{USAGE}"));
    };
    if !["bench", "conformance", "faults", "fuzz", "tidy"].contains(&command.as_str())
        && !rest.is_empty()
    {
        return Err(format!(
            "`{command}` takes no arguments, but got `{}`",
            rest.join(" ")
        ));
    }
    match command.as_str() {
        "test" => test(root, steps),
        "tidy" => tidy(root, steps, rest),
        "check" => check(root, steps),
        "doc" => doc(root, steps),
        "bench" => bench(root, steps, rest),
        "conformance" => conformance(root, steps, rest),
        "coverage" => coverage(root, steps),
        "faults" => faults(root, steps, rest),
        "deny" => deny(root, steps),
        "memory" => memory(root, steps),
        "mutants" => mutants::mutants(root, steps),
        "simulate" => simulate_all(root, steps),
        "fuzz" => fuzz::fuzz(root, steps, fuzz_seconds(rest)?),
        "quick" => quick(root, steps),
        "ci" => ci(root, steps),
        "full" => full(root, steps),
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        other => Err(format!("no command is called `{other}`\n\n{USAGE}")),
    }
}

/// What a contributor runs between two edits: nothing is installed, and no judge is asked.
fn quick(root: &Path, steps: &mut Steps) -> Result<()> {
    steps.run("tidy", || tidy::tidy(root))?;
    fmt(root, steps)?;
    clippy(root, steps)?;
    test_workspace(root, steps)
}

/// What guards a landing.
fn ci(root: &Path, steps: &mut Steps) -> Result<()> {
    guard(root, steps)?;
    judge(root, steps, &["autobahn", "--fast"])
}

/// What closes an issue.
fn full(root: &Path, steps: &mut Steps) -> Result<()> {
    guard(root, steps)?;
    simulate_all(root, steps)?;
    mutants::mutants(root, steps)?;
    features(root, steps)?;
    steps.run("check clippy of bench", || {
        for apart in [BENCH, INSTRUCTIONS] {
            let clippy = ["clippy", "--manifest-path", apart, "--all-targets"];
            cargo::run(root, &[&clippy[..], &DENY_WARNINGS].concat())?;
        }
        Ok(())
    })?;
    steps.run("test instructions", || {
        cargo::run(root, &["test", "--manifest-path", INSTRUCTIONS])
    })?;
    instructions(root, steps, &[])?;
    judge(root, steps, &["peers"])?;
    judge(root, steps, &["proxies"])?;
    judge(root, steps, &["autobahn"])?;
    judge(root, steps, &["engine"])?;
    let valkey = ["--engine", "valkey", "--at-once", "3"];
    judge(root, steps, &[&["faults", "--full"][..], &valkey].concat())?;
    memory(root, steps)?;
    fuzz::fuzz(root, steps, 10)?;
    coverage(root, steps)?;
    deny(root, steps)
}

fn tidy(root: &Path, steps: &mut Steps, arguments: &[String]) -> Result<()> {
    match arguments {
        [] => {}
        [lower] if lower == "--lower" => tidy::lower(root)?,
        [other, ..] => return Err(format!("`tidy` takes only `--lower`, but got `{other}`")),
    }
    steps.run("tidy", || tidy::tidy(root))
}

fn guard(root: &Path, steps: &mut Steps) -> Result<()> {
    steps.run("tidy", || tidy::tidy(root))?;
    check(root, steps)?;
    test(root, steps)?;
    simulate(root, steps)?;
    doc(root, steps)?;
    judge(root, steps, &["browser"])?;
    judge(root, steps, &["javascript"])?;
    judge(root, steps, &["faults", "--quick", "--engine", "redis"])
}

/// The whole suite: unit tests, integration tests, doctests, examples; then the exhaustive ones.
fn test(root: &Path, steps: &mut Steps) -> Result<()> {
    test_workspace(root, steps)?;
    steps.run("test fuzz seeds", || {
        cargo::run(root, &["test", "--manifest-path", FUZZ, "--lib"])
    })?;
    steps.run("test loom", || {
        // A cfg changes every crate's build: a target folder of its own keeps both caches warm.
        let target = cargo::target_folder(root).join("loom");
        let target = target
            .to_str()
            .ok_or("the target folder's path is not UTF-8")?;
        cargo::run_with_flags(
            root,
            &[
                "test",
                "-p",
                "sockeye-mailbox",
                "--release",
                "--lib",
                "--target-dir",
                target,
                "loom",
            ],
            ("RUSTFLAGS", "--cfg loom"),
        )
    })
}

/// Seeds of the simulation of topics that no other tree has, for about a minute. The same tree gives the same seeds, so the
/// outcome is the same wherever it runs.
fn simulate(root: &Path, steps: &mut Steps) -> Result<()> {
    steps.run("simulate topics", || {
        let test = ["test", "-p", "sockeye-pubsub", "--test", "sim"];
        let show = ["--", "--nocapture", "sim_"];
        let first = first_seed(root)?.to_string();
        let seeds = [
            ("SOCKEYE_SIM_FIRST", &*first),
            ("SOCKEYE_SIM_COUNT", "8000"),
        ];
        cargo::run_with(root, &[&test[..], &show].concat(), &seeds)
    })
}

/// As many schedules of the simulation of topics as take each row of the hub's table 100 times.
fn simulate_all(root: &Path, steps: &mut Steps) -> Result<()> {
    steps.run("simulate topics in full", || {
        let test = ["test", "-p", "sockeye-pubsub", "--test", "sim"];
        let show = ["--", "--nocapture", "sim_"];
        let full = [("SOCKEYE_SIM_FULL", "1")];
        cargo::run_with(root, &[&test[..], &show].concat(), &full)
    })
}

/// The first 48 bits of the name of the tree that is checked out.
fn first_seed(root: &Path) -> Result<u64> {
    let mut git = Command::new("git");
    git.args(["rev-parse", "HEAD^{tree}"]).current_dir(root);
    let output = git
        .output()
        .map_err(|error| format!("cannot start git: {error}"))?;
    let name = String::from_utf8_lossy(&output.stdout);
    let digits = name.get(..12).ok_or("git names no tree")?;
    u64::from_str_radix(digits, 16).map_err(|error| format!("`{digits}`: {error}"))
}

/// The tests of the workspace's crates, doctests and examples included.
fn test_workspace(root: &Path, steps: &mut Steps) -> Result<()> {
    steps.run("test", || {
        let test = ["test", "--all-features", "--workspace"];
        cargo::run(root, &[&test[..], WITHOUT_JUDGES].concat())
    })
}

/// How long each target runs: the one argument of `fuzz`.
fn fuzz_seconds(arguments: &[String]) -> Result<u32> {
    match arguments {
        [] => Ok(60),
        [seconds] => seconds
            .parse()
            .map_err(|_| format!("`{seconds}` is no number of seconds")),
        [_, more, ..] => Err(format!("`fuzz` takes one argument, but got `{more}` too")),
    }
}

fn check(root: &Path, steps: &mut Steps) -> Result<()> {
    fmt(root, steps)?;
    clippy(root, steps)?;
    steps.run("check clippy of fuzz", || {
        let clippy = ["clippy", "--manifest-path", FUZZ, "--all-targets"];
        cargo::run(root, &[&clippy[..], &DENY_WARNINGS].concat())
    })?;
    steps.run("check clippy without features", || {
        for package in ["sockeye", "sockeye-proto"] {
            let clippy = ["clippy", "-p", package, "--no-default-features"];
            cargo::run(root, &[&clippy[..], &DENY_WARNINGS].concat())?;
        }
        Ok(())
    })
}

fn fmt(root: &Path, steps: &mut Steps) -> Result<()> {
    steps.run("check fmt", || {
        cargo::run(root, &["fmt", "--all", "--check"])?;
        for apart in [BENCH, FUZZ, INSTRUCTIONS, TUNGSTENITE] {
            cargo::run(root, &["fmt", "--manifest-path", apart, "--check"])?;
        }
        Ok(())
    })
}

fn clippy(root: &Path, steps: &mut Steps) -> Result<()> {
    steps.run("check clippy", || {
        let clippy = ["clippy", "--all-targets", "--all-features", "--workspace"];
        cargo::run(root, &[&clippy[..], &DENY_WARNINGS].concat())
    })
}

/// The library with each of its features alone; and what is left to test where one is missing.
fn features(root: &Path, steps: &mut Steps) -> Result<()> {
    steps.run("features", || {
        let manifest = root.join("crates/sockeye/Cargo.toml");
        let manifest = std::fs::read_to_string(&manifest)
            .map_err(|error| format!("{}: {error}", manifest.display()))?;
        let features: Vec<&str> = feature_names(&manifest).collect();
        if features.is_empty() {
            return Err("no features are found in the library's manifest".to_owned());
        }
        for feature in features {
            let alone = [
                "-p",
                "sockeye",
                "--no-default-features",
                "--features",
                feature,
            ];
            let clippy = [&["clippy"], &alone[..], &DENY_WARNINGS].concat();
            cargo::run(root, &clippy)?;
        }
        let without_tls = ["--no-default-features", "--features", "macros"];
        let outside = ["test", "-p", "sockeye", "--test", "all"];
        cargo::run(root, &[&outside[..], &without_tls].concat())
    })
}

/// The names in a manifest's table of features.
fn feature_names(manifest: &str) -> impl Iterator<Item = &str> {
    manifest
        .lines()
        .skip_while(|line| *line != "[features]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some(line.split_once('=')?.0.trim()))
        .filter(|name| *name != "default")
}

/// As users read it, where a link to a private item is broken; then as we read it.
fn doc(root: &Path, steps: &mut Steps) -> Result<()> {
    // The program's documentation would overwrite that of the library of the same name.
    let workspace = [
        "doc",
        "--workspace",
        "--exclude",
        "sockeye-cli",
        "--no-deps",
    ];
    let private = [&workspace[..], &["--document-private-items"]].concat();
    for (name, command) in [("doc", &workspace[..]), ("doc of private items", &private)] {
        steps.run(name, || {
            cargo::run_with_flags(root, command, ("RUSTDOCFLAGS", "-D warnings"))
        })?;
    }
    Ok(())
}

/// One judge with its options, or all of them.
fn conformance(root: &Path, steps: &mut Steps, arguments: &[String]) -> Result<()> {
    if arguments.is_empty() {
        judge(root, steps, &["browser"])?;
        judge(root, steps, &["javascript"])?;
        judge(root, steps, &["peers"])?;
        judge(root, steps, &["proxies"])?;
        return judge(root, steps, &["autobahn"]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    judge(root, steps, &arguments)
}

/// Kills and cuts nodes and servers. The options are those of the judge.
fn faults(root: &Path, steps: &mut Steps, options: &[String]) -> Result<()> {
    if options == ["--mutants"] {
        return faults::mutants(root, steps);
    }
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    judge(root, steps, &[&["faults"], &options[..]].concat())
}

/// Judges see the optimised build, as users do.
fn judge(root: &Path, steps: &mut Steps, arguments: &[&str]) -> Result<()> {
    let name = format!("conformance {}", arguments.join(" "));
    let mut command = vec!["run", "--release", "-p", "conformance", "--"];
    command.extend_from_slice(arguments);
    if !["browser", "faults", "javascript"]
        .contains(&arguments.first().copied().unwrap_or_default())
    {
        return steps.run(&name, || cargo::run(root, &command));
    }
    steps.run("build sockeye", || {
        cargo::run(root, &["build", "--release", "-p", "sockeye-cli"])
    })?;
    let program = cargo::target_folder(root)
        .join("release")
        .join(format!("sockeye{}", std::env::consts::EXE_SUFFIX));
    let program = program
        .to_str()
        .ok_or("the target folder's path is not UTF-8")?;
    command.extend_from_slice(&["--program", program]);
    steps.run(&name, || cargo::run(root, &command))
}

/// The lines of the core that its own tests run: the uncovered ones are listed, and too many of them fail.
fn coverage(root: &Path, steps: &mut Steps) -> Result<()> {
    steps.run("coverage", || {
        cargo::install(root, "tarpaulin", CARGO_TARPAULIN_VERSION)?;
        // Coverage changes every crate's build: see `test loom`.
        let target = cargo::target_folder(root).join("coverage");
        let target = target
            .to_str()
            .ok_or("the target folder's path is not UTF-8")?;
        cargo::run(
            root,
            &[
                "tarpaulin",
                "--package",
                "sockeye-proto",
                "--include-files",
                "crates/proto/src/*",
                "--exclude-files",
                "*/tests.rs",
                "--engine",
                "llvm",
                "--skip-clean",
                // Of one test binary: instrumented, on a machine that has other things to do too.
                "--timeout",
                "900",
                "--target-dir",
                target,
                "--fail-under",
                COVERAGE,
                "--",
                "--quiet",
            ],
        )
    })
}

/// What a message costs, here and with others; or in instructions, here alone. The options are those of the
/// program that does it.
fn bench(root: &Path, steps: &mut Steps, options: &[String]) -> Result<()> {
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let (counts, rest): (Vec<&str>, Vec<&str>) = options
        .iter()
        .partition(|option| **option == "--instructions");
    if !counts.is_empty() {
        return instructions(root, steps, &rest);
    }
    let (command, rest) = bench_command(&rest);
    let run = ["run", "--release", "--manifest-path", BENCH, "--", command];
    steps.run("bench", || cargo::run(root, &[&run[..], rest].concat()))
}

/// The command of the program `bench` that these options ask for, and what is left for it.
fn bench_command<'a, 'b>(options: &'b [&'a str]) -> (&'static str, &'b [&'a str]) {
    if let Some((&"fairness", rest)) = options.split_first() {
        return ("fairness", rest);
    }
    let is_against = |option: &&str| *option == "--against" || option.starts_with("--against=");
    if options.iter().any(is_against) {
        return ("against", options);
    }
    ("run", options)
}

/// Fails when a count has grown, or has no baseline.
fn instructions(root: &Path, steps: &mut Steps, options: &[&str]) -> Result<()> {
    let count = [
        "run",
        "--release",
        "--manifest-path",
        INSTRUCTIONS,
        "--",
        "count",
    ];
    steps.run("bench instructions", || {
        cargo::run(root, &[&count[..], options].concat())
    })
}

/// What crowds of connections and messages larger than memory take.
fn memory(root: &Path, steps: &mut Steps) -> Result<()> {
    for bench in ["memory", "large"] {
        steps.run(&format!("memory {bench}"), || {
            cargo::run(root, &["bench", "-p", "sockeye-cli", "--bench", bench])
        })?;
    }
    Ok(())
}

/// Licences, duplicate versions and sources of what we depend on. (Advisories need a database that
/// not every machine can fetch: public CI looks at them.)
fn deny(root: &Path, steps: &mut Steps) -> Result<()> {
    steps.run("deny", || {
        cargo::install(root, "deny", CARGO_DENY_VERSION)?;
        cargo::run(
            root,
            &[
                "deny",
                "--all-features",
                "check",
                "licenses",
                "bans",
                "sources",
            ],
        )
    })
}

fn workspace_root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

/// The result of a step. Its error is a sentence for the reader of the log.
pub(crate) type Result<T, E = String> = std::result::Result<T, E>;

/// The arguments behind `test --workspace`: the tests of the judges start Unix programs.
const WITHOUT_JUDGES: &[&str] = if cfg!(unix) {
    &[]
} else {
    &["--exclude", "conformance"]
};
/// What ends a call of clippy.
const DENY_WARNINGS: [&str; 3] = ["--", "-D", "warnings"];
/// Workspaces of their own.
const FUZZ: &str = "fuzz/Cargo.toml";
const TUNGSTENITE: &str = "conformance/tungstenite/Cargo.toml";
const BENCH: &str = "bench/Cargo.toml";
const INSTRUCTIONS: &str = "bench/instructions/Cargo.toml";
const CARGO_DENY_VERSION: &str = "0.20.2";
const CARGO_TARPAULIN_VERSION: &str = "0.37.5";
/// Per cent of the core's lines.
const COVERAGE: &str = "95";

const USAGE: &str = "\
usage: cargo xtask COMMAND

  quick                   tidy, rustfmt, clippy and the workspace's tests: no root, no judges, for use between two edits
  test                    the workspace's whole suite, doctests, examples and loom tests included
  tidy [--lower]          our own lints: floors, purity of the core, the RFC ledger, documents, and the limits of
                          xtask/limits.tsv, which --lower brings down to what is counted
  check                   rustfmt, clippy with warnings denied, and clippy without default features
  doc                     the documentation, with warnings denied
  conformance             all external judges, or one:
    autobahn [OPTIONS]    the Autobahn Testsuite: --fast, --cases 1.*,2.*, --role server, client or object;
                          all of it writes docs/conformance.md
    peers [--only NAME]   other libraries' clients and servers, and programs; all of them write docs/interop.md
    proxies               the client through tinyproxy and microsocks
    browser               a headless Chromium on the pages of `sockeye serve`
  faults [OPTIONS]        kills, freezes and cuts nodes, Redis and Valkey under load, and judges what clients were told:
                          --quick, --full, --case F1,F7, --engine redis|valkey|both, --seed SEED, --minutes N,
                          --repeat N, --at-once N, --keep; a case that failed leaves target/faults/SEED
                          --mutants: a program without one of its defences after the other, of which a case has to fail
  bench [OPTIONS]         what a message costs, here and with others: w1 w2 ..., --peers A,B, --rounds N;
                          all of it writes docs/performance.md
    --against REV         the server of another revision beside this one, in pairs: w1 w2 w64 w3 w6 or those named;
                          the median of the paired ratios, its 95 % interval, and whether it is a tie
    fairness [OPTIONS]    how long an innocent connection waits while others attack `sockeye serve`:
                          --against REV, ATTACK ..., --write for docs/performance.md
    --instructions        instructions for a message, by callgrind: more than 2 % above the baseline fails;
                          with --bless they are the next one; JOB ... chooses
  memory                  what crowds of connections, and messages larger than memory, take at their peak
  fuzz [SECONDS]          each fuzz target of fuzz/ for so long (60), with a nightly compiler
  simulate                the simulation of topics until each row of the hub's table was taken 100 times
  mutants                 faults in the hub and the mailbox, of which the tests have to find each
  coverage                which lines of the core its own tests run; less than 95 % fails
  deny                    licences, duplicate versions and sources of the dependencies
  ci                      what guards a landing: tidy, check, test, doc, browser, javascript, faults --quick on Redis,
                          autobahn --fast
  full                    what closes an issue: ci with all of autobahn, peers, proxies, engine, faults --full on Valkey,
                          simulate, mutants, each feature alone, bench --instructions, memory, fuzz 10, coverage, deny
  help                    this text

A step that fails ends the run; the seconds of each step are printed at the end.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_of_bench_choose_its_command() {
        assert_eq!(bench_command(&[]), ("run", &[][..]));
        assert_eq!(bench_command(&["w1"]), ("run", &["w1"][..]));
        let against = ["w1", "--against", "main"];
        assert_eq!(bench_command(&against), ("against", &against[..]));
        let against = ["--against=main"];
        assert_eq!(bench_command(&against), ("against", &against[..]));
        let fairness = ["fairness", "calm", "--against", "main"];
        assert_eq!(bench_command(&fairness), ("fairness", &fairness[1..]));
    }

    #[test]
    fn features_are_found_in_their_table_alone() {
        let manifest = "[package]\nname = \"a\"\n\n[features]\ndefault = [\"one\"]\n# why\none = []\ntwo = [\"dep:b\"]\n\n[dependencies]\nb = \"1\"\n";
        let found: Vec<&str> = feature_names(manifest).collect();
        assert_eq!(found, ["one", "two"]);
    }
}
