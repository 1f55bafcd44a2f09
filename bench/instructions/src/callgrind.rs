//! Counting by callgrind: the same program and the same environment each time, so that two runs of one build
//! count the same. Installs it as Debian's package where it is missing.
//!
//! Valgrind offers a program the instructions that it knows: AVX2, but not AVX-512. It offers no vDSO, so reading the
//! clock is a system call, and counts as one instruction. The count covers user space alone. Random choices hardly
//! change it: the order in which `select!` polls changes it by some 0.05 %.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::Result;
use crate::job::Job;

/// What a run counted, by valgrind of this version.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) valgrind: String,
    pub(crate) jobs: Vec<(&'static Job, f64)>,
}

/// Counts what one unit of each job costs. The profiles stay beside the build.
pub(crate) fn count(jobs: &[&'static Job]) -> Result<Counted> {
    let callgrind = Callgrind::find()?;
    let counted = jobs.iter().map(|job| {
        let once = callgrind.run(job, job.count, "short.out")?;
        let twice = callgrind.run(job, 2 * job.count, "out")?;
        Ok((*job, twice.abs_diff(once) as f64 / job.count as f64))
    });
    let jobs = counted.collect::<Result<_>>()?;
    println!("profiles: {}/*.out", callgrind.profiles.display());
    Ok(Counted {
        valgrind: callgrind.version,
        jobs,
    })
}

struct Callgrind {
    version: String,
    program: PathBuf,
    profiles: PathBuf,
    /// Whether the layout of the address space can be made the same each time.
    fixed_layout: bool,
}

impl Callgrind {
    fn find() -> Result<Self> {
        let version = match version() {
            Some(version) => version,
            None => {
                install()?;
                version().ok_or("valgrind is installed, and does not run")?
            }
        };
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let target = program.ancestors().nth(2).unwrap_or(Path::new("."));
        let profiles = target.join("callgrind");
        fs::create_dir_all(&profiles)
            .map_err(|error| format!("{}: {error}", profiles.display()))?;
        let fixed_layout = said(Command::new("setarch").args(["-R", "true"])).is_some();
        if !fixed_layout {
            println!("the address space's layout cannot be fixed here (`setarch -R`)");
        }
        Ok(Self {
            version,
            program,
            profiles,
            fixed_layout,
        })
    }

    /// How many instructions this program takes for so many of a job's units.
    fn run(&self, job: &Job, count: u64, suffix: &str) -> Result<u64> {
        let profile = self.profiles.join(format!("{}.{suffix}", job.name));
        let mut command = if self.fixed_layout {
            let mut command = Command::new("setarch");
            command.args(["-R", "valgrind"]);
            command
        } else {
            Command::new("valgrind")
        };
        command
            .arg("--tool=callgrind")
            .arg(format!("--callgrind-out-file={}", profile.display()))
            .arg(&self.program)
            .args(["run", job.name, &count.to_string()])
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs(ENVIRONMENT)
            .stdin(Stdio::null());
        let output = command
            .output()
            .map_err(|error| format!("cannot start valgrind: {error}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{} failed ({}):\n{said}", job.name, output.status));
        }
        let text = fs::read_to_string(&profile)
            .map_err(|error| format!("{}: {error}", profile.display()))?;
        total(&text).ok_or_else(|| format!("{} has no total", profile.display()))
    }
}

/// The total of a profile.
fn total(profile: &str) -> Option<u64> {
    let total = profile
        .lines()
        .find_map(|line| line.strip_prefix("totals:"));
    total?.trim().parse().ok()
}

fn version() -> Option<String> {
    let said = said(Command::new("valgrind").arg("--version"))?;
    Some(said.trim().trim_start_matches("valgrind-").to_owned())
}

/// What a command says that succeeds.
fn said(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then_some(said)
}

/// Installs valgrind system-wide. A network that fails once may not the second time.
fn install() -> Result<()> {
    println!("installing Debian's valgrind");
    let mut pauses = RETRY_PAUSES.iter();
    loop {
        let installed = apt_get(&["update"]).and_then(|()| apt_get(&INSTALL));
        match (installed, pauses.next()) {
            (Ok(()), _) => return Ok(()),
            (Err(error), None) => {
                return Err(format!(
                    "valgrind is missing and cannot be installed: {error}"
                ));
            }
            (Err(error), Some(pause)) => {
                eprintln!("{error}\ntrying again in {pause:?}");
                sleep(*pause);
            }
        }
    }
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let is_root = said(Command::new("id").arg("-u")).is_some_and(|id| id.trim() == "0");
    let mut command = if is_root {
        Command::new("apt-get")
    } else {
        let mut command = Command::new("sudo");
        command.args(["-n", "apt-get"]);
        command
    };
    let status = command
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .status();
    let line = format!("apt-get {}", arguments.join(" "));
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{line}` failed ({status})")),
        Err(error) => Err(format!("cannot start `{line}`: {error}")),
    }
}

const ENVIRONMENT: [(&str, &str); 1] = [
    // A copy by `rep movsb`, which is one instruction to a processor, would be counted as one for each byte:
    // above these lengths glibc would make some.
    (
        "GLIBC_TUNABLES",
        "glibc.cpu.x86_rep_movsb_threshold=0x40000000:glibc.cpu.x86_rep_stosb_threshold=0x40000000",
    ),
];
const INSTALL: [&str; 4] = ["install", "-y", "--no-install-recommends", "valgrind"];
const RETRY_PAUSES: [Duration; 3] = [
    Duration::from_secs(3),
    Duration::from_secs(10),
    Duration::from_secs(30),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_of_a_profile_is_found() {
        let profile = "events: Ir\nsummary: 12\nfn=(0)\n3 4\ntotals: 1234\n";
        assert_eq!(total(profile), Some(1234));
        assert_eq!(total("events: Ir\n"), None);
    }
}
