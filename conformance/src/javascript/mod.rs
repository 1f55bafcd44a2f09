//! The JavaScript client of topics, in Node: its own tests with a fake server, and then tests against `sockeye serve`.

use std::fs;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::error::Result;
use crate::process::run;
use crate::program::Program;
use crate::{judges, python};

/// Runs the judge as the command line asks.
pub(crate) async fn judge(arguments: &[String]) -> Result<()> {
    let [option, path] = arguments else {
        return Err("the judge javascript needs `--program PATH`, the sockeye to judge".into());
    };
    if option != "--program" {
        return Err(format!("the judge javascript has no option `{option}`").into());
    }
    let folder = judges::folder("javascript")?;
    let node = node(&folder).await?;
    let client = client()?;
    let own = run(test(&node).args(own_tests(&client)?)).await?;
    println!("javascript: {}", count(&own)?);
    let mut program = Program::serve(path, &folder).await?;
    let script = folder.join("serve.test.js");
    judges::write(&script, include_str!("serve.test.js"))?;
    let against = run(test(&node)
        .arg(&script)
        .env("SOCKEYE_URL", program.url())
        .env("SOCKEYE_CLIENT", client.join("sockeye.js")))
    .await;
    program.check_running()?;
    println!("javascript: against sockeye serve: {}", count(&against?)?);
    Ok(())
}

/// Returns Node, installed if need be.
pub(crate) async fn node(folder: &Path) -> Result<PathBuf> {
    let (venv, stamp) = (folder.join("venv"), folder.join("installed"));
    if !fs::read_to_string(&stamp).is_ok_and(|installed| installed == python::NODE) {
        println!("javascript: installing Node");
        python::install(&venv, &[python::NODE]).await?;
        judges::write(&stamp, python::NODE)?;
    }
    python::find_node(&venv).await
}

/// Returns the folder of the client.
pub(crate) fn client() -> Result<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = own.parent().ok_or("the crate lies outside a workspace")?;
    Ok(workspace.join("clients/js"))
}

/// The client's own tests.
fn own_tests(client: &Path) -> Result<Vec<PathBuf>> {
    let mut tests = Vec::new();
    for entry in fs::read_dir(client.join("test"))? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(".test.js") {
            tests.push(path);
        }
    }
    tests.sort();
    Ok(tests)
}

fn test(node: &Path) -> Command {
    let mut command = Command::new(node);
    command.args(["--test", "--test-reporter=tap"]);
    command
}

/// Returns the line that says how many tests passed. No test at all is a failure.
fn count(report: &str) -> Result<String> {
    let number = |name: &str| {
        let prefix = format!("# {name} ");
        let mut lines = report.lines().rev();
        let line = lines.find_map(|line| line.strip_prefix(&prefix));
        line.and_then(|number| number.trim().parse::<usize>().ok())
    };
    match (number("pass"), number("fail")) {
        (Some(passed), Some(0)) if passed > 0 => Ok(format!("{passed} passed, 0 failed")),
        counted => Err(format!("Node counts {counted:?} tests:\n{report}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_without_a_passed_test_is_refused() {
        let counted = count("1..2\n# tests 2\n# pass 2\n# fail 0\n");
        assert_eq!(counted.unwrap(), "2 passed, 0 failed");
        for report in ["", "# pass 0\n# fail 0\n", "# pass 3\n# fail 1\n"] {
            assert!(count(report).is_err(), "{report}");
        }
    }
}
