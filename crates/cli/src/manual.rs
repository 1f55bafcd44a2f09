//! `sockeye completions` and `sockeye man`: completion scripts for shells, and the manual page.

use std::io::{self, Write};

use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::exit::{Exit, complain};
use crate::log::stderr;
use crate::stream;

/// Print a completion script for a shell
///
/// For bash, in ~/.bashrc: source <(sockeye completions bash)
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Shell to print the script for
    shell: Shell,
}

pub(crate) fn complete(program: &mut Command, options: &Options) -> Exit {
    let mut script = Vec::new();
    let name = program.get_name().to_owned();
    clap_complete::generate(options.shell, program, name, &mut script);
    print(Ok(script))
}

/// Prints one manual page for the program and its commands.
pub(crate) fn page(program: &Command) -> Exit {
    print(render(program))
}

fn render(program: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(program.clone()).render(&mut page)?;
    for command in program.get_subcommands() {
        let name = format!("{} {}", program.get_name(), command.get_name());
        writeln!(page, ".SH {}", name.to_uppercase())?;
        let man = Man::new(command.clone().bin_name(name));
        man.render_synopsis_section(&mut page)?;
        man.render_description_section(&mut page)?;
        man.render_options_section(&mut page)?;
        man.render_extra_section(&mut page)?;
    }
    Ok(page)
}

fn print(text: io::Result<Vec<u8>>) -> Exit {
    match text.and_then(|text| stream::print(&text)) {
        Ok(()) => Exit::Done,
        // The reader of stdout is gone.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
        Err(error) => {
            complain(&format!("cannot write to stdout: {error}"));
            stderr().finish();
            Exit::Failed
        }
    }
}
